// GitHub's own client for JavaScript, pointed at the admin listener.
const { join } = require("node:path");

const { BASE_URL: baseUrl, TOKEN: auth, ORGANIZATION: org, DAY: day, NODE_PATH: modules } = process.env;

async function main() {
  // It is made of ECMAScript modules alone, which NODE_PATH does not find.
  const { Octokit } = await import(join(modules, "@octokit/core/dist-src/index.js"));
  const { paginateRest } = await import(join(modules, "@octokit/plugin-paginate-rest/dist-bundle/index.js"));
  const octokit = new (Octokit.plugin(paginateRest))({ auth, baseUrl });
  const seats = await octokit.paginate("GET /orgs/{org}/copilot/billing/seats", { org, per_page: 1 }, (page) => page.data.seats);
  const report = await octokit.request("GET /orgs/{org}/copilot/metrics/reports/users-1-day", { org, day });
  const files = await Promise.all(report.data.download_links.map(async (link) => (await fetch(link)).text()));
  const users = files.join("").trim().split("\n").map((line) => JSON.parse(line).user_login);
  const metrics = await octokit.request("GET /orgs/{org}/copilot/metrics", { org, since: day, until: day });
  const elsewhere = await octokit.request("GET /orgs/{org}/copilot/billing", { org: "nobody" }).catch((error) => error.status);
  const stranger = new Octokit({ auth: "cpl_wrong", baseUrl });
  const refused = await stranger.request("GET /orgs/{org}/copilot/billing", { org }).catch((error) => error.status);
  const logins = seats.map((seat) => seat.assignee.login);
  console.log(JSON.stringify({ seats: logins, users, days: metrics.data.map((one) => one.date), elsewhere, refused }));
}

main();
