package main

import (
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
				"cloudformation deploy --stack-name club --template-file infra/aws/template.json --s3-bucket code --s3-prefix club/templates --capabilities CAPABILITY_IAM --no-fail-on-empty-changeset --parameter-overrides CodeBucket=code CodePrefix=club/abc/ SecretArn=" + secretARN + " SecretVersion=v-1",
				"cloudformation describe-stacks --stack-name club --query Stacks[0].Parameters[?ParameterKey=='PublicUrl' || ParameterKey=='DomainName'].ParameterValue --output text",
				"cloudformation describe-stacks --stack-name club --query Stacks[0].Outputs[].[OutputKey, OutputValue] --output text",
			},
		},
		"going back": {
			env: []string{"RELEASE=old"}, aws: "left4me.example.org", noBuild: true,
			calls: []string{
				"secretsmanager list-secret-version-ids --secret-id left4me --query [ARN, Versions[?contains(VersionStages, 'AWSCURRENT')].VersionId | [0]] --output text",
				"cloudformation deploy --stack-name left4me --template-file infra/aws/template.json --s3-bucket code --s3-prefix left4me/templates --capabilities CAPABILITY_IAM --no-fail-on-empty-changeset --parameter-overrides CodeBucket=code CodePrefix=left4me/old/ SecretArn=" + secretARN + " SecretVersion=v-1",
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
		got, _ := os.ReadFile(calls)
		if c.calls != nil && string(got) != strings.Join(c.calls, "\n")+"\n" {
			t.Errorf("%s: called\n%swant\n%s", name, got, strings.Join(c.calls, "\n"))
		}
	}
}
