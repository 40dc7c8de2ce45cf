// The description of the API, for people: drawn from the same openapi.json that programs read.

import { request } from "./api.js";
import { byId, element } from "./dom.js";

let schemas = {}; // the descriptions of bodies, by name

/** A schema in place of a reference to it. */
const resolved = (schema) => (schema?.$ref ? schemas[schema.$ref.split("/").at(-1)] : schema) ?? {};

const plain = (text) => (text ?? "").replaceAll("`", "");

/** A type in a few words, such as "integer, at least 1". */
function typeOf(schema) {
  if (schema.$ref) return schema.$ref.split("/").at(-1);
  if (schema.anyOf) return schema.anyOf.map(typeOf).filter((type) => type !== "null").join(" or ");
  if (schema.enum) return schema.enum.join(" | ");
  if ("const" in schema) return String(schema.const);
  if (schema.type === "array") return `list of ${typeOf(schema.items ?? {})}`;
  if (schema.contentMediaType) return "file";
  const limits = [
    "minimum" in schema && `at least ${schema.minimum}`,
    "exclusiveMinimum" in schema && `above ${schema.exclusiveMinimum}`,
    Number.isSafeInteger(schema.maximum) && `at most ${schema.maximum}`,
  ];
  return [schema.type ?? "anything", ...limits].filter(Boolean).join(", ");
}

function table(caption, rows) {
  const lines = rows.map(([name, ...texts]) => {
    const cells = texts.map((text) => element("td", {}, text));
    return element("tr", {}, element("th", { scope: "row" }, element("code", {}, name)), ...cells);
  });
  return element("section", {}, element("h3", {}, caption), element("table", {}, element("tbody", {}, ...lines)));
}

/** The fields of a body: name, type, and what is said about each. */
function fields(schema) {
  const { properties = {}, required = [] } = resolved(schema);
  return Object.entries(properties).map(([name, field]) => {
    const hasDefault = field.default !== undefined && field.default !== null;
    const note = required.includes(name) ? "required" : hasDefault ? `default ${JSON.stringify(field.default)}` : "";
    return [name, [typeOf(field), note].filter(Boolean).join("; "), plain(field.description)];
  });
}

function parameters(operation) {
  const rows = (operation.parameters ?? []).map(({ name, schema, description }) => {
    return [name, typeOf(schema), plain(description)];
  });
  return rows.length ? [table("Parameters", rows)] : [];
}

function bodies(operation) {
  const contents = Object.entries(operation.requestBody?.content ?? {});
  return contents.map(([kind, { schema }]) => table(`Body: ${kind}`, fields(schema)));
}

function answers(operation) {
  const entries = Object.entries(operation.responses ?? {});
  const rows = entries.map(([status, { description, content }]) => {
    const bodies = Object.entries(content ?? {});
    const kinds = bodies.map(([kind, { schema }]) => (schema?.$ref ? typeOf(schema) : kind));
    const isGood = description === "Successful Response";
    return [status, isGood ? "It worked." : description, kinds.join(", ")];
  });
  const [, good] = entries.find(([status]) => status.startsWith("2")) ?? [];
  const rowsOfGood = fields(good?.content?.["application/json"]?.schema);
  return [...(rowsOfGood.length ? [table("Answer", rowsOfGood)] : []), table("Statuses", rows)];
}

function route(path, method, operation) {
  const line = element(
    "summary", {},
    element("code", { className: `method ${method}` }, method.toUpperCase()), " ",
    element("code", {}, path), " ",
    element("span", { className: "hint" }, plain(operation.description ?? operation.summary).split("\n")[0]),
  );
  const parts = [...parameters(operation), ...bodies(operation), ...answers(operation)];
  const text = plain(operation.description).split("\n").slice(1).join(" ").trim();
  if (text) parts.unshift(element("p", {}, text));
  return element("details", {}, line, element("div", { className: "details" }, ...parts));
}

function draw({ info, paths, components }) {
  schemas = components?.schemas ?? {};
  byId("about").textContent = `${plain(info.description)} This is sdrt ${info.version}.`;
  const groups = new Map();
  for (const [path, methods] of Object.entries(paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const tag = operation.tags?.[0] ?? "other";
      groups.set(tag, [...(groups.get(tag) ?? []), route(path, method, operation)]);
    }
  }
  const sections = [...groups].map(([tag, routes]) => {
    const title = element("h2", {}, tag[0].toUpperCase() + tag.slice(1));
    return element("section", { className: "panel" }, title, ...routes);
  });
  byId("routes").replaceChildren(...sections);
}

const here = new URL(".", location.href).href;
byId("example").textContent =
  `curl ${here}v1/jobs -H "Content-Type: application/json" -d '{"prompt": "a red boat on the sea"}'\n` +
  `curl ${here}v1/jobs/ID          # until its state is "done"\n` +
  `curl ${here}v1/jobs/ID/images/0.png --output boat.png`;

try {
  draw(await (await request("openapi.json")).json());
} catch (error) {
  byId("about").textContent = error.message;
}
