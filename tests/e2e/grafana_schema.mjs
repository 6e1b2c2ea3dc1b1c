// SPDX-License-Identifier: MIT
// Reads dashboards in Grafana's classic JSON, one a line, and prints what is wrong with each, as a line of JSON: by the types
// that Grafana publishes. Run in a folder with @grafana/schema, ts-json-schema-generator and ajv.
import fs from "fs";
import { createRequire } from "module";
import path from "path";

const require = createRequire(path.join(process.cwd(), "here.js"));
const Ajv = require("ajv").default;
const { createGenerator } = require("ts-json-schema-generator");
const raw = "node_modules/@grafana/schema/dist/types/raw";
const compiled = {};

function validator(file, type) {
  const key = `${file} ${type}`;
  if (!(key in compiled)) {
    const schema = createGenerator({ path: `${raw}/${file}/x/types.gen.d.ts`, type, skipTypeCheck: true }).createSchema(type);
    // Of annotations, each kind of data source has keys of its own.
    if (schema.definitions.AnnotationQuery) delete schema.definitions.AnnotationQuery.additionalProperties;
    compiled[key] = new Ajv({ strict: false, allErrors: true }).compile(schema);
  }
  return compiled[key];
}

// What a panel leaves out has a default.
function faults(validate, value, where, partial) {
  if (validate(value)) return [];
  return validate.errors.filter((error) => !partial || error.keyword !== "required")
    .map((error) => `${where}${error.instancePath}: ${error.message} ${JSON.stringify(error.params)}`);
}

for (const line of fs.readFileSync(0, "utf8").trim().split("\n")) {
  const dashboard = JSON.parse(line);
  const found = faults(validator("dashboard", "Dashboard"), dashboard, "", false);
  for (const panel of dashboard.panels ?? []) {
    if (panel.type === "row") continue;
    const file = `composable/${panel.type}/panelcfg`;
    if (!fs.existsSync(`${raw}/${file}`)) {
      found.push(`no panel is called ${panel.type}`);
      continue;
    }
    found.push(...faults(validator(file, "Options"), panel.options ?? {}, panel.title, true));
    const custom = panel.fieldConfig?.defaults?.custom;
    if (custom) found.push(...faults(validator(file, "FieldConfig"), custom, panel.title, true));
  }
  console.log(JSON.stringify(found));
}
