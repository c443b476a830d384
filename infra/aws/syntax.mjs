// Prints the first error if the router on standard input is not ECMAScript 5.1, except for the import of cloudfront.
// CloudFront's runtime supports all of ECMAScript 5.1. See
// docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/functions-javascript-runtime-20.html.
import { readFileSync } from "node:fs";
import { parse } from "acorn";

try {
  parse(readFileSync(0, "utf8").replace("import cf from 'cloudfront';\n", ""), { ecmaVersion: 5 });
} catch (problem) {
  console.log(problem.message);
}
