package main

import (
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// fakeProgram writes a shell script that replaces the program name.
func fakeProgram(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text), 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestDeploy(t *testing.T) {
	const secretARN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:left4me-AbCdEf"
	for name, c := range map[string]struct {
		env     []string
		aws     string // the value of PublicUrl or DomainName in describe-stacks
		calls   []string
		fails   string
		noBuild bool
	}{
		"the first time": {
			env: []string{"PARAMETERS=DatabaseUrl=libsql://db.example.org AlarmEmail=a@example.org"},
			calls: []string{
				"secretsmanager list-secret-version-ids --secret-id left4me --query [ARN, Versions[?contains(VersionStages, 'AWSCURRENT')].VersionId | [0]] --output text",
				"s3 cp bin/lambda s3://code/left4me/abc/ --recursive --exclude * --include *.zip --only-show-errors",
				"cloudformation describe-stacks --stack-name left4me --query Stacks[0].StackStatus --output text",
				"cloudformation deploy --stack-name left4me --template-file infra/aws/template.json --s3-bucket code --s3-prefix left4me/templates --capabilities CAPABILITY_IAM --no-fail-on-empty-changeset --parameter-overrides CodeBucket=code CodePrefix=left4me/abc/ SecretArn=" + secretARN + " SecretVersion=v-1 DatabaseUrl=libsql://db.example.org AlarmEmail=a@example.org",
				"cloudformation describe-stacks --stack-name left4me --query Stacks[0].Parameters[?ParameterKey=='PublicUrl' || ParameterKey=='DomainName'].ParameterValue --output text",
				"cloudformation describe-stacks --stack-name left4me --query Stacks[0].Outputs[?OutputKey=='Url'].OutputValue --output text",
				"cloudformation deploy --stack-name left4me --template-file infra/aws/template.json --s3-bucket code --s3-prefix left4me/templates --capabilities CAPABILITY_IAM --no-fail-on-empty-changeset --parameter-overrides CodeBucket=code CodePrefix=left4me/abc/ SecretArn=" + secretARN + " SecretVersion=v-1 DatabaseUrl=libsql://db.example.org AlarmEmail=a@example.org PublicUrl=https://d1.cloudfront.net",
				"cloudformation describe-stacks --stack-name left4me --query Stacks[0].Outputs[].[OutputKey, OutputValue] --output text",
			},
		},
		"an update, of another stack": {
			env: []string{"STACK=club", "SECRET=club-secret"}, aws: "https://d1.cloudfront.net",
			calls: []string{
				"secretsmanager list-secret-version-ids --secret-id club-secret --query [ARN, Versions[?contains(VersionStages, 'AWSCURRENT')].VersionId | [0]] --output text",
				"s3 cp bin/lambda s3://code/club/abc/ --recursive --exclude * --include *.zip --only-show-errors",
				"cloudformation describe-stacks --stack-name club --query Stacks[0].StackStatus --output text",
				"cloudformation deploy --stack-name club --template-file infra/aws/template.json --s3-bucket code --s3-prefix club/templates --capabilities CAPABILITY_IAM --no-fail-on-empty-changeset --parameter-overrides CodeBucket=code CodePrefix=club/abc/ SecretArn=" + secretARN + " SecretVersion=v-1",
				"cloudformation describe-stacks --stack-name club --query Stacks[0].Parameters[?ParameterKey=='PublicUrl' || ParameterKey=='DomainName'].ParameterValue --output text",
				"cloudformation describe-stacks --stack-name club --query Stacks[0].Outputs[].[OutputKey, OutputValue] --output text",
			},
		},
		"going back": {
			env: []string{"RELEASE=old"}, aws: "left4me.example.org", noBuild: true,
			calls: []string{
				"s3 ls s3://code/left4me/old/",
				"secretsmanager list-secret-version-ids --secret-id left4me --query [ARN, Versions[?contains(VersionStages, 'AWSCURRENT')].VersionId | [0]] --output text",
				"cloudformation describe-stacks --stack-name left4me --query Stacks[0].StackStatus --output text",
				"cloudformation deploy --stack-name left4me --template-file infra/aws/template.json --s3-bucket code --s3-prefix left4me/templates --capabilities CAPABILITY_IAM --no-fail-on-empty-changeset --parameter-overrides CodeBucket=code CodePrefix=left4me/old/ SecretArn=" + secretARN + " SecretVersion=v-1",
				"cloudformation describe-stacks --stack-name left4me --query Stacks[0].Parameters[?ParameterKey=='PublicUrl' || ParameterKey=='DomainName'].ParameterValue --output text",
				"cloudformation describe-stacks --stack-name left4me --query Stacks[0].Outputs[].[OutputKey, OutputValue] --output text",
			},
		},
		"to a release that is not there": {env: []string{"RELEASE=gone"}, noBuild: true, fails: "The bucket code has no release gone. It has:\nPRE abc/", calls: []string{
			"s3 ls s3://code/left4me/gone/",
			"s3 ls s3://code/left4me/",
		}},
		"after a creation that failed": {
			env: []string{"STACK=failed"}, aws: "left4me.example.org",
			calls: []string{
				"secretsmanager list-secret-version-ids --secret-id failed --query [ARN, Versions[?contains(VersionStages, 'AWSCURRENT')].VersionId | [0]] --output text",
				"s3 cp bin/lambda s3://code/failed/abc/ --recursive --exclude * --include *.zip --only-show-errors",
				"cloudformation describe-stacks --stack-name failed --query Stacks[0].StackStatus --output text",
				"cloudformation describe-stack-events --stack-name failed --output text --query StackEvents[?ResourceStatus=='CREATE_FAILED'].[LogicalResourceId, ResourceStatusReason]",
				"cloudformation delete-stack --stack-name failed",
				"cloudformation wait stack-delete-complete --stack-name failed",
				"cloudformation deploy --stack-name failed --template-file infra/aws/template.json --s3-bucket code --s3-prefix failed/templates --capabilities CAPABILITY_IAM --no-fail-on-empty-changeset --parameter-overrides CodeBucket=code CodePrefix=failed/abc/ SecretArn=" + secretARN + " SecretVersion=v-1",
				"cloudformation describe-stacks --stack-name failed --query Stacks[0].Parameters[?ParameterKey=='PublicUrl' || ParameterKey=='DomainName'].ParameterValue --output text",
				"cloudformation describe-stacks --stack-name failed --query Stacks[0].Outputs[].[OutputKey, OutputValue] --output text",
			},
		},
		"with a firewall": {
			env: []string{"RATE_LIMIT=2000"}, aws: "left4me.example.org",
			calls: []string{
				"secretsmanager list-secret-version-ids --secret-id left4me --query [ARN, Versions[?contains(VersionStages, 'AWSCURRENT')].VersionId | [0]] --output text",
				"s3 cp bin/lambda s3://code/left4me/abc/ --recursive --exclude * --include *.zip --only-show-errors",
				"cloudformation describe-stacks --stack-name left4me --query Stacks[0].StackStatus --output text",
				"cloudformation deploy --region us-east-1 --stack-name left4me-firewall --template-file infra/aws/firewall.json --no-fail-on-empty-changeset --parameter-overrides RateLimit=2000",
				"cloudformation describe-stacks --region us-east-1 --stack-name left4me-firewall --query Stacks[0].Outputs[?OutputKey=='WebAclArn'].OutputValue --output text",
				"cloudformation deploy --stack-name left4me --template-file infra/aws/template.json --s3-bucket code --s3-prefix left4me/templates --capabilities CAPABILITY_IAM --no-fail-on-empty-changeset --parameter-overrides CodeBucket=code CodePrefix=left4me/abc/ SecretArn=" + secretARN + " SecretVersion=v-1 WebAclArn=arn:acl",
				"cloudformation describe-stacks --stack-name left4me --query Stacks[0].Parameters[?ParameterKey=='PublicUrl' || ParameterKey=='DomainName'].ParameterValue --output text",
				"cloudformation describe-stacks --stack-name left4me --query Stacks[0].Outputs[].[OutputKey, OutputValue] --output text",
			},
		},
		"without a bucket": {env: []string{"BUCKET="}, fails: "BUCKET"},
		"without a build":  {noBuild: true, fails: "make lambda"},
		"without a secret": {env: []string{"SECRET=missing"}, fails: "ResourceNotFoundException", calls: []string{"secretsmanager list-secret-version-ids --secret-id missing --query [ARN, Versions[?contains(VersionStages, 'AWSCURRENT')].VersionId | [0]] --output text"}},
		"an update fails":  {env: []string{"STACK=broken"}, fails: "UPDATE_ROLLBACK", calls: nil},
		"no such bucket":   {env: []string{"BUCKET=nowhere"}, fails: "NoSuchBucket", calls: nil},
	} {
		dir := t.TempDir()
		calls := filepath.Join(dir, "calls")
		fakeProgram(t, dir, "aws", `printf '%s\n' "$*" >>"$CALLS"
case "$*" in
*list-secret-version-ids*missing*) echo ResourceNotFoundException >&2; exit 254 ;;
*failed*StackStatus*) echo ROLLBACK_COMPLETE ;;
*describe-stack-events*) echo 'AgentPolicy exists already' ;;
"s3 ls"*gone/) exit 1 ;;
"s3 ls"*) echo PRE abc/ ;;
*WebAclArn*) echo arn:acl ;;
*list-secret-version-ids*) printf '`+secretARN+`\tv-1\n' ;;
"s3 cp"*nowhere*) echo NoSuchBucket >&2; exit 1 ;;
*deploy*broken*) echo UPDATE_ROLLBACK >&2; exit 1 ;;
*Parameters*) printf '%s\t\n' "$PUBLIC" ;;
*OutputKey==*) echo https://d1.cloudfront.net ;;
esac
`)
		work := filepath.Join(dir, "work")
		if err := os.MkdirAll(filepath.Join(work, "bin/lambda"), 0o755); err != nil {
			t.Fatal(err)
		}
		if !c.noBuild {
			if err := os.WriteFile(filepath.Join(work, "bin/lambda/release"), []byte("abc\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		script, err := filepath.Abs("../aws/deploy")
		if err != nil {
			t.Fatal(err)
		}
		run := exec.CommandContext(t.Context(), "bash", script)
		run.Dir = work
		run.Env = append([]string{"PATH=" + dir + ":" + os.Getenv("PATH"), "CALLS=" + calls, "PUBLIC=" + c.aws, "BUCKET=code"}, c.env...)
		out, err := run.CombinedOutput()
		if (err != nil) != (c.fails != "") || !strings.Contains(string(out), c.fails) {
			t.Errorf("%s: %v, printed %s", name, err, out)
		}
		text, _ := os.ReadFile(calls)
		got := strings.ReplaceAll(string(text), filepath.Dir(script), "infra/aws")
		if c.calls != nil && got != strings.Join(c.calls, "\n")+"\n" {
			t.Errorf("%s: called\n%swant\n%s", name, got, strings.Join(c.calls, "\n"))
		}
	}
}

// CloudFront takes minutes to send another secret everywhere, so functions accept both meanwhile. A rotation that is interrupted must
// not start another one: that would drop the secret that CloudFront still sends.
func TestDeployRotatesTheSecret(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(file(name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	fakeProgram(t, dir, "aws", `case "$*" in
*list-secret-version-ids*) printf 'arn:secret\tv-1\n' ;;
*get-secret-value*) cat "$DIR/secret" ;;
*put-secret-value*) cat >"$DIR/secret" ;;
*"cloudformation deploy"*) cat "$DIR/secret" >>"$DIR/deployed"; [ ! -e "$DIR/broken" ] ;;
*Parameters*) echo left4me.example.org ;;
esac
`)
	script, err := filepath.Abs("../aws/deploy")
	if err != nil {
		t.Fatal(err)
	}
	// deployed returns the secrets with which a run of the script has deployed the stack.
	deployed := func() (all []map[string]string, err error) {
		t.Helper()
		write("deployed", "")
		run := exec.CommandContext(t.Context(), "bash", script)
		run.Dir = t.TempDir()
		run.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"), "DIR="+dir, "BUCKET=code", "RELEASE=abc", "ROTATE=yes")
		out, err := run.CombinedOutput()
		t.Logf("%s", out)
		text, readErr := os.ReadFile(file("deployed"))
		if readErr != nil {
			t.Fatal(readErr)
		}
		for line := range strings.Lines(string(text)) {
			var values map[string]string
			if err := json.Unmarshal([]byte(line), &values); err != nil {
				t.Fatalf("%v: %s", err, line)
			}
			if values["DATABASE_AUTH_TOKEN"] != "token" {
				t.Errorf("the database's token was lost: %v", values)
			}
			all = append(all, values)
		}
		return all, err
	}
	write("secret", `{"DATABASE_AUTH_TOKEN":"token","ORIGIN_SECRET":"the first secret"}`)
	write("broken", "")
	broken, err := deployed()
	if err == nil || len(broken) != 1 || broken[0]["ORIGIN_SECRET_PREVIOUS"] != "the first secret" || broken[0]["ORIGIN_SECRET"] == "the first secret" {
		t.Fatalf("a deployment that fails: %v, %v", broken, err)
	}
	if err := os.Remove(file("broken")); err != nil {
		t.Fatal(err)
	}
	again, err := deployed()
	if err != nil || len(again) != 2 {
		t.Fatalf("the next: %v, %v", again, err)
	}
	if !maps.Equal(again[0], broken[0]) {
		t.Errorf("the next began with %v, want %v", again[0], broken[0])
	}
	delete(broken[0], "ORIGIN_SECRET_PREVIOUS")
	if !maps.Equal(again[1], broken[0]) {
		t.Errorf("the next ended with %v, want %v", again[1], broken[0])
	}
}

func TestASecretThatCannotBeChanged(t *testing.T) {
	for name, text := range map[string]string{"nothing": "", "no object": `["hunter2"]`, "without ORIGIN_SECRET": `{"DATABASE_AUTH_TOKEN":"hunter2"}`} {
		var out strings.Builder
		if err := changeSecret("new", strings.NewReader(text), &out); err == nil || out.Len() > 0 || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, %q", name, err, out.String())
		}
	}
}
