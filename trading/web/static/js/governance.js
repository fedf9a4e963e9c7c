// Limits and strategy parameters: what holds, what is proposed, and who may decide.

import { Problem, command, get, newKey } from "./api.js";
import { confirmed, make, notify, openDialog, setText } from "./dom.js";
import { fullTime, timeOf, zoneLabel } from "./format.js";
import { Table } from "./table.js";
import { words } from "./views.js";

const TOPICS = ["limits_changes", "parameter_changes", "control_requests", "reviews"];
const AGAIN_MS = 250;
const WAITING = ["PROPOSED", "APPROVED"];
const WITHIN = [["3600", "1 hour"], ["28800", "8 hours"], ["86400", "1 day"], ["604800", "1 week"]];
const ACTS = {
	approve: { text: "Approve", tone: "primary", done: "approved" },
	reject: { text: "Reject", tone: "danger", done: "rejected" },
	withdraw: { text: "Withdraw", tone: "", done: "withdrawn" },
	break_glass: { text: "Break the glass", tone: "danger", done: "in force by one person alone; it waits for a review" },
};
const REQUESTS = [
	["HALT", "halt: no orders, all canceled"], ["REDUCE", "only reduce positions"], ["FLATTEN", "close positions"],
	["RESUME", "trade again"],
];

const list = (names) => (names?.length ? names.join(", ") : "");
const isSet = (value) => value !== null && value !== undefined && !(Array.isArray(value) && value.length === 0);

const isSpan = (name) => /_(window|silence)$/.test(name);

/** A value as a person reads it; windows and silences are nanoseconds and are told in seconds. */
export function told(name, value) {
	if (!isSet(value)) return "none";
	if (isSpan(name)) return `${Number(value) / 1e9} s`;
	if (Array.isArray(value)) {
		return value.map((each) => (Array.isArray(each) ? each.flat().join(" → ") : typeof each === "object"
			? JSON.stringify(each) : String(each))).join(", ");
	}
	return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** Rows of limits, or of other values by name; those that are not set are left out. */
export const rowsOf = (values) => Object.entries(values ?? {}).filter(([, value]) => isSet(value))
	.map(([name, value]) => ({ id: name, name, value: told(name, value) }));

/** The columns of such rows. */
export const valueColumns = [
	{ head: "Limit", text: (item) => words(item.name) }, { head: "Value", kind: "wide", text: (item) => item.value },
];

/** The limits tab. */
export function part(desk, box) {
	const page = new GovernancePage(desk, box);
	return { tables: [], draw: () => page.draw(), shown: (isShown) => page.shown(isShown) };
}

class GovernancePage {
	constructor(desk, box) {
		this.desk = desk;
		this.box = box;
		this.found = null;
		this.account = "";
		this.drawn = "";
		this.isShown = false;
		this.timer = 0;
		this.said = make("p", { class: "empty", text: "loading…" });
		this.body = make("div", { class: "limits" });
		box.append(this.said, this.body);
	}

	/** Follow what changes while the tab is open. */
	shown(isShown) {
		if (isShown && !this.isShown) for (const topic of TOPICS) this.desk.follow(topic, () => this.#soon());
		if (!isShown && this.isShown) for (const topic of TOPICS) this.desk.unfollow(topic);
		this.isShown = isShown;
		if (isShown) this.read();
	}

	#soon() {
		clearTimeout(this.timer);
		this.timer = setTimeout(() => this.isShown && this.read(), AGAIN_MS);
	}

	/** Ask for what holds and what is proposed. */
	async read() {
		const account = this.desk.account();
		if (account === "") return;
		try {
			const found = await get("/governance", { account });
			if (account !== this.desk.account()) return;
			this.found = found;
			this.said.hidden = true;
			this.draw();
		} catch (problem) {
			if (!(problem instanceof Problem)) throw problem;
			setText(this.said, problem.message);
			this.said.hidden = false;
			if (this.found?.account !== account) this.body.replaceChildren();
		}
	}

	/** Write it where it has changed. */
	draw() {
		if (this.found === null) return;
		const now = JSON.stringify([this.found, zoneLabel(), new Date().toDateString()]);
		if (now === this.drawn) return;
		this.drawn = now;
		const { changes, reviews, requests } = this.found;
		const waiting = changes.filter((each) => WAITING.includes(each.state) || each.mine.length > 0);
		const others = changes.filter((each) => !waiting.includes(each));
		const open = reviews.filter((each) => each.state === "OPEN");
		this.body.replaceChildren(
			make("p", { class: "muted", text: this.#duties() }),
			...(open.length > 0 ? [make("h3", { text: "To be reviewed" })] : []), ...open.map((each) => this.#review(each)),
			...(waiting.length > 0 ? [make("h3", { text: "Proposed" })] : []), ...waiting.map((each) => this.#change(each)),
			...this.#limits(), ...this.#parameters(),
			make("h3", { text: "Asked of the engine" }), this.#requestButton(), this.#table(requestColumns, requests, "Nothing was asked for."),
			make("h3", { text: "Changes before" }), this.#table(changeColumns, others, "None.", (item) => this.#details(item)),
			...(reviews.length > open.length ? [make("h3", { text: "Reviewed" }),
				this.#table(reviewColumns, reviews.filter((each) => each.state !== "OPEN"), "")] : []),
		);
	}

	#table(columns, items, empty, onOpen = null) {
		const table = new Table(columns, { empty, onOpen });
		table.show(items);
		return table.element;
	}

	#duties() {
		const { duties, people } = this.found;
		const mine = duties.filter((each) => each !== "ENGINE").map(words);
		const may = mine.length === 0 ? "You have no duty on this account: you look." : `Your duties here: ${mine.join(", ")}.`;
		return `${may} Changes need two people; ${list(people.APPROVE) || "nobody"} may approve what others propose.`;
	}

	/** Who may do something, and why you may not: "" where you may. */
	#whyNot(act, item) {
		if (item.mine.includes(act) || item.may[act] === undefined) return "";
		const { user } = this.found;
		const others = item.may[act].filter((each) => each !== user);
		const who = others.length === 0 ? "nobody here may: an administrator gives the duty" : `${list(others)} may`;
		if (item.requested_by === user) return `You asked for it yourself, so another person must ${words(act)} it: ${who}.`;
		return `You have not the duty to ${words(act)} it: ${who}.`;
	}

	#actions(item, acts, act) {
		const buttons = acts.filter((name) => item.may[name] !== undefined).map((name) => {
			const why = this.#whyNot(name, item);
			// What only who asked for it can do is no button for others.
			if (why !== "" && name !== "approve" && name !== "review") return null;
			const { text, tone } = ACTS[name] ?? { text: "Review", tone: "primary" };
			return make("button", { type: "button", class: tone, text, title: why, disabled: why !== "", onclick: () => act(name) });
		});
		const why = this.#whyNot(acts[0], item);
		return make("div", { class: "decide" }, ...buttons, why === "" ? null : make("span", { class: "warn", text: why }));
	}

	#change(item) {
		const what = item.kind === "limits" ? "Limits" : `Parameters of ${item.strategy}`;
		const until = WAITING.includes(item.state) && item.approve_by ? ` · to be approved by ${timeOf(item.approve_by)}` : "";
		const from = item.effective_from ? ` · from ${fullTime(item.effective_from)}` : "";
		return make(
			"article", { class: "change", "data-state": item.state, "data-change": item.id },
			make("p", {}, make("strong", { text: what }), ` · ${words(item.state)} · asked for by ${item.requested_by} at `
				+ `${timeOf(item.changed_at)}${until}${from}`),
			make("p", { class: "reason", text: item.change_reason || "no reason was given" }),
			differences(item),
			this.#actions(item, ["approve", "reject", "withdraw", "break_glass"], (act) => this.#decide(act, item)),
		);
	}

	async #decide(act, item) {
		const { text, done } = ACTS[act];
		const what = item.changes.map(({ name, before, after }) => `${words(name)}: ${told(name, before)} → ${told(name, after)}`);
		const question = {
			approve: `It is in force then: ${what.join("; ")}.`, reject: "Why not?",
			withdraw: "Take back what you asked for?",
			break_glass: `In force at once, by you alone: ${what.join("; ")}. Another person reviews it. Why can it not wait?`,
		}[act];
		const needsReason = act === "reject" || act === "break_glass";
		const input = act === "withdraw" ? null : needsReason ? "reason" : "reason, may be empty";
		const answer = await confirmed(`${text}: ${item.change_reason}`, question, text, input, needsReason);
		if (answer === false) return;
		await this.#send("POST", `/governance/changes/${item.id}/${act}`, act === "withdraw" ? {} : { reason: answer }, done);
	}

	async #send(method, path, body, done) {
		try {
			await command(method, path, body);
			notify(`${this.desk.account()}: ${done}`);
		} catch (problem) {
			notify(problem.message, "problem");
		}
		await this.read();
	}

	#review(item) {
		const change = this.found.changes.find((each) => each.id === item.change_id);
		return make(
			"article", { class: "change", "data-state": "EMERGENCY" },
			make("p", {}, make("strong", { text: "Put in force by one person alone" }),
				` · by ${item.requested_by} at ${timeOf(item.changed_at)}`),
			make("p", { class: "reason", text: item.change_reason }),
			change === undefined ? null : differences(change),
			this.#actions(item, ["review"], () => this.#judge(item)),
		);
	}

	async #judge(item) {
		const reason = make("input", { name: "reason", required: true, maxlength: 200, placeholder: "reason" });
		const say = async (justified) => {
			if (!form.reportValidity()) return;
			dialog.close();
			await this.#send("POST", `/governance/reviews/${item.id}`, { justified, reason: reason.value.trim() }, "reviewed");
		};
		const form = make(
			"form", { onsubmit: (event) => event.preventDefault() },
			make("p", { text: `Was ${item.requested_by} right to put it in force alone?` }), reason,
			make("div", { class: "actions" },
				make("button", { type: "button", class: "danger", text: "Not justified", onclick: () => say(false) }),
				make("button", { type: "button", class: "primary", text: "Justified", onclick: () => say(true) })),
		);
		const dialog = openDialog("Review", form);
		reason.focus();
	}

	// --- what holds ----------------------------------------------------------------------------------

	#proposeButton(text, propose) {
		const may = this.found.duties.includes("PROPOSE");
		const who = list(this.found.people.PROPOSE) || "nobody";
		return make("div", { class: "decide" },
			make("button", { type: "button", text, disabled: !may, onclick: propose }),
			may ? null : make("span", { class: "muted", text: `You have not the duty to propose: ${who} may.` }));
	}

	#limits() {
		const { limits } = this.found;
		const by = limits === null ? "" : `${limits.limits_id}: asked for by ${limits.requested_by || "nobody"}, approved by `
			+ `${limits.approved_by || "nobody"}, since ${timeOf(limits.since)}`;
		return [
			make("h3", { text: "Limits that hold" }), by === "" ? null : make("p", { class: "muted", text: by }),
			this.#table(valueColumns, rowsOf(limits?.values), "No limits are set."),
			this.#proposeButton("Propose other limits", () => this.#proposeLimits()),
		].filter(Boolean);
	}

	#parameters() {
		const { parameters } = this.found;
		if (parameters.length === 0) return [];
		const columns = [
			{ head: "Strategy", text: (item) => item.strategy },
			{ head: "Parameters", kind: "wide", text: (item) => Object.entries(item.values).map(([name, value]) => `${name} ${told(name, value)}`).join(", ") },
			{ head: "By", text: (item) => (item.requested_by ? `${item.requested_by}, ${item.approved_by}` : "configuration") },
			{ head: "Since", kind: "time", text: (item) => timeOf(item.since) },
			{
				head: "", kind: "actions",
				fill: (cell, item) => cell.replaceChildren(make("button", {
					type: "button", class: "small", text: "Propose", disabled: !this.found.duties.includes("PROPOSE"),
					onclick: () => this.#proposeParameters(item),
				})),
			},
		];
		const rows = parameters.map((each) => ({ ...each, id: each.strategy }));
		return [make("h3", { text: "Parameters that hold" }), this.#table(columns, rows, "")];
	}

	#proposeLimits() {
		const values = this.found.limits?.values ?? {};
		const fields = this.found.limit_names.map(({ name, kind }) => (
			{ name, kind: isSpan(name) ? "span" : kind, value: values[name] ?? null }));
		this.#propose("Propose limits", fields, (proposed) => ["/governance/limits", { limits: { ...values, ...proposed } }]);
	}

	#proposeParameters({ strategy, values }) {
		const fields = Object.entries(values).map(([name, value]) => ({ name, kind: typeof value === "boolean" ? "flag" : typeof value, value }));
		this.#propose(`Propose parameters of ${strategy}`, fields,
			(proposed) => ["/governance/parameters", { strategy, parameters: { ...values, ...proposed } }]);
	}

	/** Let the user change fields; `requestOf(changed)` gives path and body. */
	#propose(title, fields, requestOf) {
		const said = make("p", { class: "problem", role: "alert" });
		const send = make("button", { type: "submit", class: "primary", text: "Nothing is changed yet", disabled: true });
		const inputs = fields.map(({ name, kind, value }) => {
			if (kind === "flag") return make("input", { type: "checkbox", name, checked: value === true });
			return make("input", { name, autocomplete: "off", maxlength: 2000, placeholder: "not set", value: kind === "span" && isSet(value) ? value / 1e9 : textOf(value) });
		});
		const before = inputs.map((input) => (input.type === "checkbox" ? input.checked : input.value));
		const changed = () => fields.filter((_, index) => (
			(inputs[index].type === "checkbox" ? inputs[index].checked : inputs[index].value.trim()) !== before[index]));
		const reason = make("input", { name: "reason", required: true, maxlength: 200, autocomplete: "off" });
		const within = make("select", { name: "within" }, ...WITHIN.map(([value, text]) => make("option", { value, text })));
		within.value = "86400";
		const key = newKey();
		const form = make("form", {
			class: "propose",
			oninput: () => {
				const names = changed().map((each) => words(each.name));
				setText(send, names.length === 0 ? "Nothing is changed yet" : `Propose: ${names.join(", ")}`);
				send.disabled = names.length === 0;
			},
			onsubmit: async (event) => {
				event.preventDefault();
				send.disabled = true;
				try {
					const proposed = {};
					for (const field of changed()) proposed[field.name] = valueOf(field, inputs[fields.indexOf(field)]);
					const [path, body] = requestOf(proposed);
					await command("POST", path, {
						account: this.found.account, ...body, reason: reason.value.trim(), approve_within_s: Number(within.value),
					}, key);
					dialog.close();
					notify(`Proposed; ${list(this.found.people.APPROVE.filter((each) => each !== this.found.user)) || "nobody else"} may approve it.`);
					await this.read();
				} catch (problem) {
					setText(said, problem.message);
					send.disabled = false;
				}
			},
		});
		const label = (field, index) => make("label", { class: field.kind === "flag" ? "tick" : "" },
			make("span", { text: words(field.name) + (UNITS[field.kind] ?? "") }), inputs[index]);
		form.append(
			make("div", { class: "fields" }, ...fields.map(label)),
			make("label", {}, make("span", { text: "Reason" }), reason),
			make("label", {}, make("span", { text: "Can be approved within" }), within),
			said, make("div", { class: "actions" }, send),
		);
		const dialog = openDialog(title, form);
		dialog.classList.add("wide");
	}

	#details(item) {
		const rows = [item.outcome_text, item.decision_reason && `decided: ${item.decision_reason}`].filter(Boolean);
		openDialog(item.change_reason || "Change", ...rows.map((text) => make("p", { class: "links", text })), this.#change(item));
	}

	// --- requests to the engine ----------------------------------------------------------------------

	#requestButton() {
		const { duties, people } = this.found;
		const may = duties.includes("OPERATE") || duties.includes("RESUME");
		return make("div", { class: "decide" },
			make("button", { type: "button", text: "Ask the engine", disabled: !may, onclick: () => this.#ask() }),
			make("span", { class: "muted", text: may ? "Kept until the engine obeys, also while it is away." : `${list(people.OPERATE) || "nobody"} may.` }));
	}

	#ask() {
		const { duties } = this.found;
		const acts = REQUESTS.filter(([name]) => duties.includes(name === "RESUME" ? "RESUME" : "OPERATE"));
		const action = make("select", { name: "action" }, ...acts.map(([value, text]) => make("option", { value, text })));
		const reason = make("input", { name: "reason", required: true, maxlength: 200, autocomplete: "off" });
		const key = newKey();
		const form = make("form", {
			onsubmit: async (event) => {
				event.preventDefault();
				dialog.close();
				const body = { account: this.found.account, action: action.value, reason: reason.value.trim(), strategy: "", symbol: "" };
				try {
					await command("POST", "/governance/requests", body, key);
					notify(`${this.desk.account()}: ${words(body.action)} asked for`);
				} catch (problem) {
					notify(problem.message, "problem");
				}
				await this.read();
			},
		}, make("label", {}, make("span", { text: "What" }), action), make("label", {}, make("span", { text: "Reason" }), reason),
		make("div", { class: "actions" }, make("button", { type: "submit", class: "danger", text: "Ask for it" })));
		const dialog = openDialog(`Ask the engine of ${this.found.account}`, form);
		reason.focus();
	}
}

const UNITS = { share: " (part of one: 0.05 is 5 %)", span: " (seconds)", list: " (by commas, or JSON)" };

const isPlain = (value) => Array.isArray(value) && value.every((each) => typeof each === "string");

function textOf(value) {
	if (!isSet(value)) return "";
	if (isPlain(value)) return value.join(", ");
	return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** What a field says, as the API takes it; an empty one is no limit. */
function valueOf({ name, kind, value }, input) {
	if (kind === "flag") return input.checked;
	const text = input.value.trim();
	if (text === "" && kind !== "string") return kind === "list" && value !== null && name !== "symbols" ? [] : null;
	if (kind === "list" && !text.startsWith("[")) return text.split(/[\s,]+/);
	if (kind === "list" || kind === "object") {
		try {
			return JSON.parse(text);
		} catch {
			throw new Error(`${words(name)}: expected JSON such as ${JSON.stringify(value ?? ["AAPL"])}, seen ${text}`);
		}
	}
	if (["count", "number", "span"].includes(kind)) {
		if (!Number.isFinite(Number(text))) throw new Error(`${words(name)}: expected a number, seen ${text}`);
		return kind === "span" ? Math.round(Number(text) * 1e9) : Number(text);
	}
	return text;
}

function differences(item) {
	const rows = item.changes.map((each) => ({ id: each.name, ...each }));
	const table = new Table([
		{ head: "What", text: (each) => words(each.name) },
		{ head: "Now", text: (each) => told(each.name, each.before) },
		{ head: "Then", tone: () => "accent", text: (each) => told(each.name, each.after) },
	], { empty: "Nothing is different from what holds now." });
	table.show(rows);
	return table.element;
}

const changeColumns = [
	{ head: "Asked at", kind: "time", text: (item) => timeOf(item.changed_at) },
	{ head: "What", text: (item) => (item.kind === "limits" ? "limits" : `parameters of ${item.strategy}`) },
	{ head: "State", text: (item) => words(item.state), tone: (item) => ({ EFFECTIVE: "up", EMERGENCY: "warn", REFUSED: "down", REJECTED: "down" })[item.state] ?? "muted" },
	{ head: "By", text: (item) => [item.requested_by, item.approved_by].filter(Boolean).join(", ") },
	{ head: "Reason", kind: "wide", text: (item) => [item.change_reason, item.decision_reason, item.outcome_text].filter(Boolean).join("; ") },
];

const requestColumns = [
	{ head: "Time", kind: "time", text: (item) => timeOf(item.changed_at) },
	{ head: "What", text: (item) => [words(item.control_action), item.strategy, item.symbol].filter(Boolean).join(" ") },
	{ head: "State", text: (item) => words(item.state), tone: (item) => (item.state === "DONE" ? "up" : "") },
	{ head: "By", text: (item) => item.requested_by },
	{ head: "Reason", kind: "wide", text: (item) => [item.change_reason, item.outcome_text].filter(Boolean).join("; ") },
];

const reviewColumns = [
	{ head: "Time", kind: "time", text: (item) => timeOf(item.changed_at) }, { head: "By", text: (item) => item.requested_by },
	{ head: "Reviewed by", text: (item) => item.reviewed_by }, { head: "Outcome", text: (item) => words(item.review_outcome) },
	{ head: "Reason", kind: "wide", text: (item) => [item.change_reason, item.decision_reason].filter(Boolean).join("; ") },
];
