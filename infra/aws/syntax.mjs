// Says why the router on standard input is more than ECMAScript 5.1, which CloudFront's runtime has whole, beside its own
// import; nothing if it is not. See
// docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/functions-javascript-runtime-20.html.
import { readFileSync } from "node:fs";
import { parse } from "acorn";

try {
  parse(readFileSync(0, "utf8").replace("import cf from 'cloudfront';\n", ""), { ecmaVersion: 5 });
} catch (problem) {
  console.log(problem.message);
}
