// Checks CloudFormation templates offline against the specification of AWS's resources. It finds unknown types, unknown and
// missing properties, values of a wrong type, references to missing resources, cycles, and unused parameters and conditions.
//
// It reads a JSON object of templates by name, and prints a JSON object of lists of problems by name.
import { readFileSync } from "node:fs";
import { loadAwsServiceSpecSync } from "@aws-cdk/aws-service-spec";

const db = loadAwsServiceSpecSync();

const pseudo = {
  "AWS::AccountId": 1, "AWS::NoValue": 1, "AWS::NotificationARNs": 1, "AWS::Partition": 1, "AWS::Region": 1, "AWS::StackId": 1,
  "AWS::StackName": 1, "AWS::URLSuffix": 1,
};
const sections = ["AWSTemplateFormatVersion", "Conditions", "Description", "Outputs", "Parameters", "Resources", "Rules"];
const resourceKeys = ["Condition", "DeletionPolicy", "DependsOn", "Properties", "Type", "UpdateReplacePolicy"];
const parameterKeys = {
  AllowedPattern: "string", AllowedValues: "object", Default: "any", Description: "string", MaxValue: "number", MinValue: "number",
  NoEcho: "boolean", Type: "string",
};
const conditional = ["Fn::And", "Fn::Equals", "Fn::Not", "Fn::Or", "Condition"];

class Template {
  problems = [];
  used = new Set(); // referenced parameters and conditions
  edges = new Map(); // from a resource to the resources that it needs

  constructor(template) {
    this.t = template;
    this.parameters = template.Parameters ?? {};
    this.conditions = template.Conditions ?? {};
    this.resources = template.Resources ?? {};
  }

  say(where, what) {
    this.problems.push(`${where}: ${what}`);
  }

  check() {
    for (const key of Object.keys(this.t)) {
      if (!sections.includes(key)) this.say(key, "unknown section");
    }
    for (const [name, p] of Object.entries(this.parameters)) this.parameter(`Parameters.${name}`, p);
    for (const [name, c] of Object.entries(this.conditions)) this.json(`Conditions.${name}`, c);
    for (const [name, r] of Object.entries(this.t.Rules ?? {})) {
      this.json(`Rules.${name}.RuleCondition`, r.RuleCondition);
      for (const a of r.Assertions) this.json(`Rules.${name}.Assertions`, a.Assert);
    }
    for (const [name, r] of Object.entries(this.resources)) this.resource(name, r);
    this.owner = undefined;
    for (const [name, o] of Object.entries(this.t.Outputs ?? {})) {
      if (!("Value" in o)) this.say(`Outputs.${name}`, "no Value");
      this.json(`Outputs.${name}`, o.Value);
    }
    for (const name of [...Object.keys(this.parameters), ...Object.keys(this.conditions)]) {
      if (!this.used.has(name)) this.say(name, "nothing refers to it");
    }
    this.cycles();
    return this.problems;
  }

  parameter(where, p) {
    for (const [key, value] of Object.entries(p)) {
      const kind = parameterKeys[key];
      if (!kind) this.say(where, `unknown key ${key}`);
      else if (kind !== "any" && typeof value !== kind) this.say(where, `${key} is no ${kind}`);
    }
    if (p.Type !== "String" && p.Type !== "Number") this.say(where, `unknown type ${p.Type}`);
    if ("Default" in p && p.AllowedPattern && !new RegExp(`^(?:${p.AllowedPattern})$`).test(p.Default)) this.say(where, "Default does not fit AllowedPattern");
    if ("Default" in p && p.AllowedValues && !p.AllowedValues.includes(p.Default)) this.say(where, "Default is not among AllowedValues");
  }

  resource(name, r) {
    this.owner = name;
    this.edges.set(name, new Set());
    if (!/^[A-Za-z0-9]{1,255}$/.test(name)) this.say(name, "not a logical id");
    for (const key of Object.keys(r)) {
      if (!resourceKeys.includes(key)) this.say(name, `unknown key ${key}`);
    }
    for (const other of [r.DependsOn ?? []].flat()) this.to(`${name}.DependsOn`, other);
    if (r.Condition !== undefined) this.condition(name, r.Condition);
    const spec = this.spec(r.Type);
    if (!spec) return this.say(name, `unknown type ${r.Type}`);
    this.properties(name, r.Properties ?? {}, spec.properties);
  }

  spec(type) {
    return db.lookup("resource", "cloudFormationType", "equals", type ?? "")[0];
  }

  properties(where, value, spec) {
    for (const [key, v] of Object.entries(value)) {
      if (Object.hasOwn(spec, key)) this.value(`${where}.${key}`, v, spec[key].type);
      else this.say(where, `unknown property ${key}`);
    }
    for (const [key, p] of Object.entries(spec)) {
      if (p.required && (!Object.hasOwn(value, key) || isNoValue(value[key]))) this.say(where, `missing property ${key}`);
    }
  }

  // value checks that v has the type. Results of functions are not checked, except both branches of Fn::If.
  value(where, v, type) {
    const intrinsic = this.intrinsic(v);
    if (intrinsic === "Fn::If") {
      const [condition, yes, no] = v[intrinsic];
      this.condition(where, condition);
      this.value(where, yes, type);
      return this.value(where, no, type);
    }
    if (intrinsic) return this.call(where, intrinsic, v[intrinsic]);
    const wrong = (wanted) => this.say(where, `${JSON.stringify(v)?.slice(0, 60)} is no ${wanted}`);
    switch (type.type) {
      case "string":
      case "date-time":
        if (typeof v !== "string") return wrong("string");
        break;
      case "integer":
        if (!Number.isInteger(v)) return wrong("integer");
        break;
      case "number":
        if (typeof v !== "number") return wrong("number");
        break;
      case "boolean":
        if (typeof v !== "boolean") return wrong("boolean");
        break;
      case "json":
        if (typeof v !== "object" || v === null) return wrong("object");
        return this.json(where, v);
      case "tag":
        return this.value(where, v, { type: "map", element: { type: "string" } });
      case "array":
        if (!Array.isArray(v)) return wrong("list");
        return v.forEach((x, i) => this.value(`${where}[${i}]`, x, type.element));
      case "map":
        if (!isObject(v)) return wrong("object");
        return Object.entries(v).forEach(([k, x]) => this.value(`${where}.${k}`, x, type.element));
      case "ref":
        if (!isObject(v)) return wrong("object");
        return this.properties(where, v, db.get("typeDefinition", type.reference.$ref).properties);
      case "union":
        return this.union(where, v, type.types);
      default:
        return this.say(where, `the specification has a type that is unknown here: ${type.type}`);
    }
    if (type.allowedValues && !type.allowedValues.includes(v)) wrong(`of ${type.allowedValues.join(", ")}`);
  }

  // union reports the problems of the type with the fewest problems.
  union(where, v, types) {
    const before = this.problems;
    let best;
    for (const type of types) {
      this.problems = [];
      this.value(where, v, type);
      if (!best || this.problems.length < best.length) best = this.problems;
    }
    this.problems = before.concat(best);
  }

  // json checks the references in a value without a specified type.
  json(where, v) {
    const intrinsic = this.intrinsic(v);
    if (intrinsic) return this.call(where, intrinsic, v[intrinsic]);
    if (v !== null && typeof v === "object") {
      for (const [k, x] of Object.entries(v)) this.json(`${where}.${k}`, x);
    }
  }

  intrinsic(v) {
    if (!isObject(v)) return undefined;
    const keys = Object.keys(v);
    return keys.length === 1 && (keys[0] === "Ref" || keys[0].startsWith("Fn::")) ? keys[0] : undefined;
  }

  call(where, name, args) {
    switch (name) {
      case "Ref":
        return this.ref(where, args);
      case "Fn::GetAtt":
        return this.getAtt(where, ...(typeof args === "string" ? args.split(/\.(.*)/, 2) : args));
      case "Fn::Sub": {
        const [text, variables] = typeof args === "string" ? [args, {}] : args;
        const free = new Set(Object.keys(variables));
        for (const [, token] of text.matchAll(/\$\{([^!}][^}]*)\}/g)) {
          if (Object.hasOwn(variables, token)) free.delete(token);
          else if (token.includes(".")) this.getAtt(where, ...token.split(/\.(.*)/, 2));
          else this.ref(where, token);
        }
        for (const variable of free) this.say(where, `Fn::Sub has no use for ${variable}`);
        return Object.values(variables).forEach((v) => this.json(where, v));
      }
      case "Fn::If":
        this.condition(where, args[0]);
        return args.slice(1).forEach((v) => this.json(where, v));
      case "Fn::Select":
        if (!Array.isArray(args) || args.length !== 2 || !Number.isInteger(args[0])) return this.say(where, "Fn::Select wants a number and a list");
        return this.json(where, args[1]);
      case "Fn::Split":
        if (!Array.isArray(args) || args.length !== 2 || typeof args[0] !== "string") return this.say(where, "Fn::Split wants a separator and a text");
        return this.json(where, args[1]);
      default:
        if (!conditional.includes(name)) this.say(where, `unknown function ${name}`);
        return this.json(where, args);
    }
  }

  condition(where, name) {
    this.used.add(name);
    if (!Object.hasOwn(this.conditions, name)) this.say(where, `no condition ${name}`);
  }

  ref(where, name) {
    if (Object.hasOwn(pseudo, name)) return;
    if (Object.hasOwn(this.parameters, name)) this.used.add(name);
    else this.to(where, name);
  }

  getAtt(where, name, attribute) {
    this.to(where, name);
    const spec = this.spec(this.resources[name]?.Type);
    if (spec && !Object.hasOwn(spec.attributes, attribute)) this.say(where, `${spec.cloudFormationType} has no attribute ${attribute}`);
  }

  to(where, name) {
    if (!Object.hasOwn(this.resources, name)) this.say(where, `no resource ${name}`);
    else if (this.owner) this.edges.get(this.owner).add(name);
  }

  cycles() {
    const done = new Set();
    const visit = (name, path) => {
      if (path.includes(name)) return this.say(name, `needs itself: ${[...path.slice(path.indexOf(name)), name].join(" > ")}`);
      if (done.has(name)) return;
      for (const next of this.edges.get(name) ?? []) visit(next, [...path, name]);
      done.add(name);
    };
    for (const name of this.edges.keys()) visit(name, []);
  }
}

function isObject(v) {
  return v !== null && typeof v === "object" && !Array.isArray(v);
}

function isNoValue(v) {
  return isObject(v) && v.Ref === "AWS::NoValue";
}

const templates = JSON.parse(readFileSync(0, "utf8"));
const result = {};
for (const [name, template] of Object.entries(templates)) result[name] = new Template(template).check();
console.log(JSON.stringify(result));
