// Runs the router as CloudFront does.
//
// It reads a JSON object with the router's code and a list of requests with method, raw path and headers. It prints a list of
// results: the origin's host and the request, or the router's own answer.
import { readFileSync } from "node:fs";

const { code, requests } = JSON.parse(readFileSync(0, "utf8"));
const heading = "import cf from 'cloudfront';\n";
if (!code.includes(heading)) throw new Error("the router does not import cloudfront as its runtime requires");

let origin;
const cf = {
  updateRequestOrigin(change) {
    if (origin !== undefined) throw new Error("the origin was changed twice");
    if (Object.keys(change).join() !== "domainName" || typeof change.domainName !== "string") throw new Error("unknown change of the origin");
    origin = change.domainName;
  },
};
// CloudFront's runtime has only its own modules, none of Node's globals, and no eval.
const handler = new Function("cf", "require", "process", "globalThis", "Buffer", `"use strict";${code.replace(heading, "")}\nreturn handler;`)(cf);

console.log(JSON.stringify(requests.map(({ method, uri, headers }) => {
  origin = undefined;
  const request = { method, uri, querystring: {}, headers: structuredClone(headers ?? {}), cookies: {} };
  const answer = handler({ version: "1.0", context: { eventType: "viewer-request" }, viewer: { ip: "198.51.100.7" }, request });
  return { host: origin ?? "", passed: answer === request, answer };
})));
