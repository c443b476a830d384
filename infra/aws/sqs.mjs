// Serves fauxqs, a fake SQS, on a loopback port, and prints its address.
import { buildApp } from "fauxqs";

const app = buildApp({ logger: false, host: "127.0.0.1" });
await app.listen({ host: "127.0.0.1", port: Number(process.argv[2] ?? 0) });
console.log(`http://127.0.0.1:${app.server.address().port}`);
