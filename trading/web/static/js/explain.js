// Why something happened: the chain of causes of an order, fill, signal or figure, with its picture.

import { LONG_MS, get } from "./api.js";
import { facts, make, openDialog, setText } from "./dom.js";
import { fullTime } from "./format.js";
import { rowsOf } from "./governance.js";
import { words } from "./views.js";

/** Open a dialog with the causes of a subject, as the API names it. */
export async function showWhy(subject, account, run) {
	const said = make("p", { class: "empty", text: "looking for the causes…" });
	const body = make("div", { class: "why-body" });
	openDialog(`Why: ${subject.replace(/^pnl:/, "P&L of ")}`, said, body).classList.add("wide");
	let found;
	try {
		found = await get(`/explain/${encodeURIComponent(subject)}`, { account, run }, LONG_MS);
	} catch (problem) {
		setText(said, problem.message);
		return;
	}
	said.remove();
	const picture = make("img", {
		class: "why-picture", alt: found.text, src: `data:image/svg+xml,${encodeURIComponent(found.svg)}`,
	});
	body.append(
		chain(found.steps),
		make("h3", { text: "The same as a picture (times of UTC)" }), make("div", { class: "why-scroll", tabindex: "0" }, picture),
	);
}

/** A step's text and, where it tells limits, their values. */
function limitsOf(step) {
	const at = step.kind === "limits" ? step.text.indexOf(": {") : -1;
	if (at < 0) return [step.text, null];
	try {
		return [step.text.slice(0, at), JSON.parse(step.text.slice(at + 2))];
	} catch {
		return [step.text, null];
	}
}

/** The steps as a tree: what was asked about, and under each step its causes. A step is told once. */
function chain(steps) {
	const told = new Set();
	const branch = (place) => {
		const step = steps[place];
		const again = told.has(place);
		told.add(place);
		const [text, values] = limitsOf(step);
		const line = make("p", {}, make("b", { class: `cause ${step.kind}`, text: words(step.kind) }), ` ${again ? step.subject : text}`,
			make("span", { class: "muted", text: again ? " (told above)" : ` · ${fullTime(step.time)} · input ${step.input}` }));
		const item = make("li", {}, line);
		if (again) return item;
		const details = Object.entries(step.details ?? {}).map(([name, value]) => [words(name), String(value)]);
		const pairs = values === null ? details : rowsOf(values).map(({ name, value }) => [words(name), value]);
		if (pairs.length > 0) item.append(make("details", {}, make("summary", { text: "figures" }), facts(pairs)));
		if (step.causes.length > 0) item.append(make("ul", {}, ...step.causes.map(branch)));
		return item;
	};
	return make("ul", { class: "why-chain" }, ...(steps.length > 0 ? [branch(0)] : []));
}
