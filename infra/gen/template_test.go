package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"left4me/shared/job"
	"left4me/shared/route"
	"left4me/templates/assets"
)

// ours returns the template of the real tables.
func ours(t *testing.T) []byte {
	t.Helper()
	text, err := templateJSON(route.All(), job.All(), job.Schedules())
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// parse returns a new tree of the template.
func parse(t *testing.T, text []byte) object {
	t.Helper()
	var o object
	if err := json.Unmarshal(text, &o); err != nil {
		t.Fatal(err)
	}
	return o
}

// at returns the part of tree at path, which has keys and indexes.
func at(t *testing.T, tree any, path ...any) any {
	t.Helper()
	for _, step := range path {
		switch x := tree.(type) {
		case object:
			tree = x[step.(string)]
		case list:
			tree = x[step.(int)]
		default:
			t.Fatalf("nothing at %v of %v", step, path)
		}
	}
	return tree
}

func TestCommittedFilesAreCurrent(t *testing.T) {
	dir := t.TempDir()
	if err := run([]string{"aws", dir}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"template.json", "firewall.json", "router.js"} {
		want, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join("../aws", name))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("infra/aws/%s is outdated: run `make infra` and commit it (%v)", name, err)
		}
	}
	if again := ours(t); !bytes.Equal(again, ours(t)) {
		t.Error("the template differs between two calls")
	}
}

// CloudFormation's limits for an uploaded template: 1 MiB, 500 resources, 200 parameters.
func TestTemplateSize(t *testing.T) {
	text := ours(t)
	tree := parse(t, text)
	resources, parameters := tree["Resources"].(object), tree["Parameters"].(object)
	t.Logf("%d bytes, %d resources, %d parameters", len(text), len(resources), len(parameters))
	if len(text) > 1<<20 || len(resources) > 500 || len(parameters) > 200 {
		t.Error("too much")
	}
}

// needsPackages skips a test if npm's packages are missing, or fails it if CI=true.
func needsPackages(t *testing.T) {
	t.Helper()
	for _, name := range []string{"@aws-cdk/aws-service-spec", "acorn"} {
		if _, err := os.Stat(filepath.Join("../aws/node_modules", name)); err == nil {
			continue
		}
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is missing: run `npm ci --prefix infra/aws`", name)
		}
		t.Skipf("no %s in infra/aws/node_modules", name)
	}
}

// problems checks templates against the specification of AWS's resources.
func problems(t *testing.T, templates map[string]any) map[string][]string {
	t.Helper()
	needsPackages(t)
	input, err := json.Marshal(templates)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][]string{}
	if err := json.Unmarshal(node(t, "validate.mjs", input), &found); err != nil {
		t.Fatal(err)
	}
	return found
}

// The check must accept our template, and find each of the faults in a copy of it.
func TestTemplateIsValid(t *testing.T) {
	text := ours(t)
	properties := func(tree object, resource string, path ...any) object {
		return at(t, tree, append([]any{"Resources", resource, "Properties"}, path...)...).(object)
	}
	faults := []struct {
		name, want string
		put        func(tree object)
	}{
		{"an unknown type", "Home: unknown type AWS::Lambda::Functoin", func(x object) { at(t, x, "Resources", "Home").(object)["Type"] = "AWS::Lambda::Functoin" }},
		{"an unknown property", "Home: unknown property MemorySise", func(x object) { properties(x, "Home")["MemorySise"] = 128 }},
		{"an unknown property far below", "unknown property OriginReadTimeOut", func(x object) {
			properties(x, "Distribution", "DistributionConfig", "Origins", 0, "CustomOriginConfig")["OriginReadTimeOut"] = 30
		}},
		{"a missing property", "Home: missing property Role", func(x object) { delete(properties(x, "Home"), "Role") }},
		{"a missing property far below", "missing property ViewerProtocolPolicy", func(x object) {
			delete(properties(x, "Distribution", "DistributionConfig", "DefaultCacheBehavior"), "ViewerProtocolPolicy")
		}},
		{"a text for a number", `Home.Timeout: "30" is no integer`, func(x object) { properties(x, "Home")["Timeout"] = "30" }},
		{"a number for a text", "Home.Handler: 1 is no string", func(x object) { properties(x, "Home")["Handler"] = 1 }},
		{"a text for a flag", `HomeInvokePermission.InvokedViaFunctionUrl: "true" is no boolean`, func(x object) {
			properties(x, "HomeInvokePermission")["InvokedViaFunctionUrl"] = "true"
		}},
		{"one for many", "Home.Architectures: \"arm64\" is no list", func(x object) { properties(x, "Home")["Architectures"] = "arm64" }},
		{"a value that is not allowed", `HomeUrl.AuthType: "ANYONE" is no of`, func(x object) { properties(x, "HomeUrl")["AuthType"] = "ANYONE" }},
		{"a dangling Ref", "no resource Nowhere", func(x object) { properties(x, "HomeErrors")["LogGroupName"] = ref("Nowhere") }},
		{"a dangling GetAtt", "no resource Nowhere", func(x object) { properties(x, "Home")["Role"] = attribute("Nowhere", "Arn") }},
		{"an attribute that is not there", "AWS::IAM::Role has no attribute Arm", func(x object) { properties(x, "Home")["Role"] = attribute("HomeRole", "Arm") }},
		{"a dangling Sub", "no resource Nowhere", func(x object) { properties(x, "Home")["FunctionName"] = sub("${Nowhere}-home") }},
		{"a dangling attribute in a Sub", "no resource Nowhere", func(x object) { at(t, x, "Outputs", "Url").(object)["Value"] = sub("${Nowhere.DomainName}") }},
		{"a placeholder without a value in the router", "Router.FunctionCode: no resource HomeHost", func(x object) {
			delete(properties(x, "Router", "FunctionCode", "Fn::Sub", 1), "HomeHost")
		}},
		{"a value without a placeholder in the router", "Fn::Sub has no use for MoreHost", func(x object) {
			properties(x, "Router", "FunctionCode", "Fn::Sub", 1)["MoreHost"] = "x"
		}},
		{"a dangling DependsOn", "Home.DependsOn: no resource Nowhere", func(x object) { at(t, x, "Resources", "Home").(object)["DependsOn"] = "Nowhere" }},
		{"a dangling condition", "no condition IsNowhere", func(x object) { at(t, x, "Resources", "Home").(object)["Condition"] = "IsNowhere" }},
		{"a fault in one branch", "is no list", func(x object) {
			properties(x, "Distribution", "DistributionConfig")["Aliases"] = either("HasDomain", ref("DomainName"), "left4me.example.org")
		}},
		{"a parameter for nothing", "More: nothing refers to it", func(x object) { x["Parameters"].(object)["More"] = object{"Type": "String"} }},
		{"a default that does not fit", "Default does not fit", func(x object) { at(t, x, "Parameters", "PublicUrl").(object)["Default"] = "http://x" }},
		// PUBLIC_URL without the parameter.
		{"a circle", "needs itself", func(x object) {
			properties(x, "Home", "Environment", "Variables")["PUBLIC_URL"] = sub("https://${Distribution.DomainName}")
		}},
		{"an unknown key", "Home: unknown key DependOn", func(x object) { at(t, x, "Resources", "Home").(object)["DependOn"] = "HomeLog" }},
		{"an unknown function", "unknown function Fn::Jion", func(x object) { properties(x, "Home")["Handler"] = object{"Fn::Jion": list{"", list{"x"}}} }},
	}
	wall, err := firewallJSON()
	if err != nil {
		t.Fatal(err)
	}
	templates := map[string]any{"ours": parse(t, text), "firewall": parse(t, wall)}
	for _, f := range faults {
		tree := parse(t, text)
		f.put(tree)
		templates[f.name] = tree
	}
	found := problems(t, templates)
	for _, p := range found["ours"] {
		t.Errorf("infra/aws/template.json: %s", p)
	}
	for _, p := range found["firewall"] {
		t.Errorf("infra/aws/firewall.json: %s", p)
	}
	for _, f := range faults {
		if !strings.Contains(strings.Join(found[f.name], "\n"), f.want) {
			t.Errorf("%s: found %q, want %q", f.name, found[f.name], f.want)
		}
	}
}

// statements returns "action resource" for each action that the role's policies allow.
func statements(t *testing.T, tree object, role string) (all []string) {
	t.Helper()
	for _, s := range at(t, tree, "Resources", role, "Properties", "Policies", 0, "PolicyDocument", "Statement").(list) {
		actions, ok := s.(object)["Action"].(list)
		if !ok {
			actions = list{s.(object)["Action"]}
		}
		resource, err := json.Marshal(s.(object)["Resource"])
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range actions {
			all = append(all, fmt.Sprint(a, " ", string(resource)))
		}
	}
	return all
}

// An attacker inside a function can reach only what the function needs.
func TestPermissionsOfFunctions(t *testing.T) {
	tree := parse(t, ours(t))
	const (
		readsSecret = `secretsmanager:GetSecretValue {"Ref":"SecretArn"}`
		wakes       = `sqs:SendMessage [{"Fn::GetAtt":["WakeQueue","Arn"]},{"Fn::Sub":"arn:${AWS::Partition}:sqs:${AWS::Region}:${AWS::AccountId}:${AWS::StackName}-host-*"}]`
		reports     = `sqs:SendMessage {"Fn::GetAtt":["DeadLetters","Arn"]}`
		refreshes   = `lambda:InvokeFunction {"Fn::GetAtt":["RefreshWorkshopItems","Arn"]}`
	)
	want := map[string][]string{}
	for _, r := range route.All() {
		want[r.Name] = []string{readsSecret, wakes}
	}
	want["refresh-workshop-items"] = []string{readsSecret, wakes, reports}
	want["schedule-refresh"] = []string{readsSecret, wakes, reports, refreshes}
	for name, may := range want {
		id := logicalID(name)
		may = append([]string{
			`logs:CreateLogStream {"Fn::GetAtt":["` + id + `Log","Arn"]}`,
			`logs:PutLogEvents {"Fn::GetAtt":["` + id + `Log","Arn"]}`,
		}, may...)
		if got := statements(t, tree, id+"Role"); !slices.Equal(got, may) {
			t.Errorf("%s may %q, want %q", name, got, may)
		}
		if at(t, tree, "Resources", id, "Properties", "Environment", "Variables").(object)["JOB_QUEUE_URL"] == nil {
			t.Errorf("%s does not know the queue that wakes the host agent", name)
		}
	}
	for name, r := range tree["Resources"].(object) {
		if kind := r.(object)["Type"]; kind == "AWS::Lambda::Function" && want[functionName(t, r)] == nil {
			t.Errorf("function %s is in no table", name)
		}
	}
}

func functionName(t *testing.T, r any) string {
	t.Helper()
	return strings.TrimPrefix(at(t, r, "Properties", "FunctionName", "Fn::Sub").(string), "${AWS::StackName}-")
}

// Everybody who may look at a function sees its environment.
func TestEnvironmentsHaveNoSecrets(t *testing.T) {
	tree := parse(t, ours(t))
	for name, r := range tree["Resources"].(object) {
		if r.(object)["Type"] != "AWS::Lambda::Function" {
			continue
		}
		variables := at(t, r, "Properties", "Environment", "Variables").(object)
		for variable, value := range variables {
			text, _ := json.Marshal(value)
			if slices.Contains([]string{"DATABASE_AUTH_TOKEN", "ORIGIN_SECRET", "ORIGIN_SECRET_PREVIOUS"}, variable) || bytes.Contains(text, []byte("{{resolve")) {
				t.Errorf("%s: %s = %s", name, variable, text)
			}
		}
		if variables["SECRETS_ARN"] == nil || variables["SECRETS_VERSION"] == nil {
			t.Errorf("%s does not know the secret", name)
		}
	}
}

func TestOnlyAssetsAndSharedPagesAreCached(t *testing.T) {
	config := at(t, parse(t, ours(t)), "Resources", "Distribution", "Properties", "DistributionConfig").(object)
	if got := at(t, config, "DefaultCacheBehavior", "CachePolicyId"); got != cachingDisabled {
		t.Errorf("pages are cached by %v", got)
	}
	want := []any{strings.ReplaceAll(route.Asset.Pattern, "{file}", "*")}
	for _, r := range route.All() {
		if r.Cached > 0 {
			want = append(want, strings.ReplaceAll(r.Pattern, "{id}", "*"))
		}
	}
	var patterns []any
	for _, b := range config["CacheBehaviors"].(list) {
		patterns = append(patterns, b.(object)["PathPattern"])
	}
	if !slices.Equal(patterns, want) {
		t.Errorf("cached are %v, want %v", patterns, want)
	}
	key := at(t, parse(t, ours(t)), "Resources", "PageCache", "Properties", "CachePolicyConfig", "ParametersInCacheKeyAndForwardedToOrigin").(object)
	for config, behavior := range map[string]string{"CookiesConfig": "CookieBehavior", "HeadersConfig": "HeaderBehavior", "QueryStringsConfig": "QueryStringBehavior"} {
		if at(t, key, config, behavior) != "none" {
			t.Errorf("a cached page depends on %v", key[config])
		}
	}
	uncached := map[float64]bool{}
	for _, e := range config["CustomErrorResponses"].(list) {
		uncached[e.(object)["ErrorCode"].(float64)] = e.(object)["ErrorCachingMinTTL"] == 0.0
	}
	for _, status := range []float64{400, 403, 404, 405, 414, 416, 500, 501, 502, 503, 504} {
		if !uncached[status] {
			t.Errorf("answers with %v are cached", status)
		}
	}
}

// When Lambda answers instead of a function, the viewer gets a page. CloudFront asks the origin's own host for it, without the router.
func TestAFunctionThatDoesNotAnswerHasAPage(t *testing.T) {
	config := at(t, parse(t, ours(t)), "Resources", "Distribution", "Properties", "DistributionConfig").(object)
	shown := map[float64]bool{}
	for _, e := range config["CustomErrorResponses"].(list) {
		e := e.(object)
		path, ok := e["ResponsePagePath"].(string)
		if !ok {
			continue
		}
		shown[e["ErrorCode"].(float64)] = true
		if name, found := strings.CutPrefix(path, "/assets/"); !found || !assets.Has(name) || e["ResponseCode"] != e["ErrorCode"] {
			t.Errorf("instead of %v: %v with %v", e["ErrorCode"], path, e["ResponseCode"])
		}
	}
	if !maps.Equal(shown, map[float64]bool{502: true, 504: true}) {
		t.Errorf("pages are shown instead of %v, want 502 and 504 only: left4me answers with the others itself", shown)
	}
	if origin, _ := json.Marshal(at(t, config, "Origins", 0, "DomainName")); !strings.Contains(string(origin), `"AssetUrl"`) {
		t.Errorf("CloudFront asks %s for that page, not the function asset", origin)
	}
}

func TestTemplateLeavesOutTheHostsJobs(t *testing.T) {
	tree := parse(t, ours(t))
	for _, name := range []string{"BuildOverlay", "DeleteOverlay"} {
		if _, ok := tree["Resources"].(object)[name]; ok {
			t.Errorf("%s needs the host's disk", name)
		}
	}
	slow := []route.Route{{Name: "slow", Method: "GET", Pattern: "/slow", TimeLimit: 2 * time.Minute}}
	if _, err := templateJSON(slow, nil, nil); err == nil {
		t.Error("a page that is too slow for CloudFront was accepted")
	}
}

// What costs money, or what a new account may not have, is off unless somebody sets its parameter.
func TestOptionsAreOffByDefault(t *testing.T) {
	tree := parse(t, ours(t))
	for parameter, off := range map[string]any{"Concurrency": 0.0, "MonthlyBudget": 0.0, "AccessLogBucket": "", "WebAclArn": ""} {
		if got := at(t, tree, "Parameters", parameter, "Default"); got != off {
			t.Errorf("%s is %v by default", parameter, got)
		}
	}
	if at(t, tree, "Resources", "Budget").(object)["Condition"] != "HasBudget" {
		t.Error("the budget has no condition")
	}
	distribution := at(t, tree, "Resources", "Distribution", "Properties", "DistributionConfig")
	options := map[string]any{"HasAccessLog": at(t, distribution, "Logging"), "HasWebAcl": at(t, distribution, "WebACLId")}
	for name, r := range tree["Resources"].(object) {
		if r.(object)["Type"] != "AWS::Lambda::Function" {
			continue
		}
		options["HasConcurrency"] = at(t, r, "Properties", "ReservedConcurrentExecutions")
		if at(t, options["HasConcurrency"], "Fn::If", 0) != "HasConcurrency" {
			t.Errorf("%s has no limit", name)
		}
		// A request that is refused must not fill the log with Lambda's own lines.
		if log := at(t, r, "Properties", "LoggingConfig").(object); log["LogFormat"] != "JSON" || log["SystemLogLevel"] != "WARN" {
			t.Errorf("%s logs %v", name, log)
		}
	}
	for condition, value := range options {
		if branches := at(t, value, "Fn::If").(list); branches[0] != condition || at(t, branches[2], "Ref") != "AWS::NoValue" {
			t.Errorf("%s: %v", condition, branches)
		}
	}
}

// A new stack has had no run, and a timer may fire twice: neither is worth a mail.
func TestAlarmsOfASchedule(t *testing.T) {
	tree := parse(t, ours(t))
	silent := at(t, tree, "Resources", "ScheduleRefreshSilent", "Properties").(object)
	if silent["TreatMissingData"] != "missing" || silent["InsufficientDataActions"] == nil {
		t.Errorf("the alarm about a silent timer: %v", silent)
	}
	if got := at(t, tree, "Resources", "ScheduleRefreshWaits", "Properties", "FilterPattern"); got != `"`+job.NotEnded+`"` {
		t.Errorf("the alarm about a job that has not run counts %v", got)
	}
}
