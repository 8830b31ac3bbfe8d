// Builds ../dist, which package ui embeds. The output depends only on the sources and on the
// versions in package-lock.json.
import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { build } from "esbuild";

const out = "../dist";
rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
await build({
  entryPoints: { app: "src/main.tsx", style: "src/style.css" },
  outdir: out,
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  jsx: "automatic",
  jsxImportSource: "preact",
  charset: "utf8",
  legalComments: "none",
});
for (const name of ["index.html", "icon.svg"]) copyFileSync(`src/${name}`, `${out}/${name}`);

// The test of package ui compares this digest with the sources.
const files = ["build.mjs", "package.json", "package-lock.json", "tsconfig.json"];
files.push(...readdirSync("src").sort().map((name) => `src/${name}`));
const digest = createHash("sha256");
for (const name of files) digest.update(`${name}\n`).update(readFileSync(name));
writeFileSync(`${out}/sources.sha256`, `${digest.digest("hex")}\n`);
