// What held at one time as it was known at another, and what has changed since then.

import { LONG_MS, get } from "./api.js";
import { make, setText } from "./dom.js";
import { amount, fieldOf, fullTime, instantOf, signed, timeOf, zoneLabel } from "./format.js";
import { rowsOf, told, valueColumns } from "./governance.js";
import { isOpen } from "./records.js";
import { Table } from "./table.js";
import { orderColumns, words } from "./views.js";

const BARS = 60;
const CHANGES = 300;
const EVENTS = 3;
const tone = (value) => (Number(value) > 0 ? "up" : Number(value) < 0 ? "down" : "");
const money = (head, name) => ({ head, kind: "number", text: (item) => (item[name] === null ? "–" : signed(item[name])), tone: (item) => tone(item[name]) });
const number = (head, name) => ({ head, kind: "number", text: (item) => amount(item[name]) });

const pnlColumns = [
	{ head: "Symbol", kind: "symbol", text: (item) => item.symbol }, { head: "Strategy", text: (item) => item.strategy || "by hand" },
	number("Position", "net"), number("Cost", "cost"), number("Price", "price"), money("Realized", "realized"), money("Unrealized", "unrealized"),
	number("Fees", "fees"), number("Income", "income"), money("Total", "total"), number("Fills", "fills"),
];
const barColumns = [
	{ head: "Start", kind: "time", text: (item) => timeOf(item.start) }, number("Open", "open"), number("High", "high"), number("Low", "low"),
	number("Close", "close"), number("Volume", "volume"), { head: "Version", kind: "number", text: (item) => String(item.version ?? "") },
	{ head: "Recorded", kind: "time", text: (item) => timeOf(item.recorded) },
];
const FIGURES = [["Total", "total"], ["Realized", "realized"], ["Unrealized", "unrealized"], ["Fees", "fees"], ["Income", "income"]];

/** The tab "as of". */
export function part(desk, box) {
	const page = new TwoTimesPage(desk, box);
	return { tables: page.tables, draw: () => page.draw(), shown: () => page.draw() };
}

const field = (name, text, required) => {
	const input = make("input", { type: "datetime-local", step: "1", name, required });
	return [input, make("label", {}, make("span", { text }), input)];
};

class TwoTimesPage {
	constructor(desk, box) {
		this.desk = desk;
		const [at, atLabel] = field("at", "What held at", true);
		const [known, knownLabel] = field("known", "as known at (empty: now)", false);
		const [since, sinceLabel] = field("since", "against what was known at", false);
		Object.assign(this, { at, known, since, turn: 0 });
		this.zones = make("span", { class: "muted" });
		this.said = make("p", { class: "empty", text: "Choose a time to see what held then, and, if you like, as it was known at another." });
		this.figures = make("div", { class: "figures" });
		this.pnl = new Table(pnlColumns, {
			empty: "Nothing was traded by then.", keyOf: (item) => `${item.strategy} ${item.symbol}`,
			onOpen: (item) => desk.explain(`pnl:${item.strategy}:${item.symbol}`, item.account, item.run),
		});
		this.orders = new Table(orderColumns(() => []), { empty: "No orders worked.", onOpen: (item) => desk.explain(item.order_id, item.account, item.run) });
		this.limits = make("div", { class: "limits" });
		this.bars = new Table(barColumns, { empty: "No bars were known.", keyOf: (item) => item.start });
		this.barsHead = make("h3");
		this.changes = make("div", { class: "changes" });
		const form = make(
			"form", { onsubmit: (event) => this.#submit(event) },
			make("div", { class: "as-of" }, atLabel, knownLabel, make("button", { type: "submit", class: "primary", text: "Show" }), this.zones),
			make("div", { class: "as-of" }, sinceLabel, make("button", { type: "submit", name: "changes", text: "What changed since" })),
		);
		this.shown = make(
			"div", { hidden: true }, this.figures, make("h3", { text: "Positions and P&L (a row says why)" }), this.pnl.element,
			make("h3", { text: "Open orders" }), this.orders.element, make("h3", { text: "Limits" }), this.limits,
			this.barsHead, this.bars.element,
		);
		box.append(form, this.said, this.changes, this.shown);
		this.tables = [this.pnl, this.orders, this.bars];
	}

	/** Say which zone the fields are of; times that were typed stay. */
	draw() {
		const zone = zoneLabel();
		if (this.at.value === "") this.at.value = fieldOf(new Date(Date.now() - 60000));
		if (this.since.value === "") this.since.value = fieldOf(new Date(Date.now() - 3600000));
		if (this.drawn !== undefined && this.drawn !== zone && this.asked !== undefined) this.#tell();
		this.drawn = zone;
		setText(this.zones, `times of ${zone}`);
	}

	#instant = (input) => (input.value === "" ? null : instantOf(input.value));

	async #submit(event) {
		event.preventDefault();
		const isChanges = event.submitter?.name === "changes";
		this.turn += 1;
		const turn = this.turn;
		const account = this.desk.account();
		const at = this.#instant(this.at);
		const known = this.#instant(this.known);
		setText(this.said, "looking…");
		this.said.hidden = false;
		try {
			if (isChanges) await this.#showChanges(turn, { account, at, since: this.#instant(this.since), until: known });
			else await this.#showMoment(turn, { account, at, known_at: known });
		} catch (problem) {
			if (turn !== this.turn) return;
			setText(this.said, problem.message);
			this.shown.hidden = true;
			this.changes.replaceChildren();
		}
	}

	async #showMoment(turn, query) {
		const symbol = this.desk.symbol();
		const timeframe = this.desk.timeframe();
		const from = new Date(Date.parse(query.at) - BARS * secondsOf(timeframe) * 1000).toISOString();
		const [found, market] = await Promise.all([
			get("/as-of", query, LONG_MS), symbol === "" ? { bars: [] } : get("/as-of", { ...query, symbol, timeframe, bars_from: from }, LONG_MS),
		]);
		if (turn !== this.turn) return;
		this.asked = { found, isKnownNow: query.known_at === null };
		this.#tell();
		this.changes.replaceChildren();
		this.figures.replaceChildren(...FIGURES.map(([title, name]) => {
			const value = found.totals[name];
			return make("div", { class: "figure" }, make("span", { text: title }),
				make("strong", { class: tone(value), text: value === null ? "no price" : `${signed(value)} ${this.desk.base()}` }));
		}));
		this.pnl.show(found.pnl);
		this.orders.show(found.orders.filter(isOpen));
		this.limits.replaceChildren(...found.limits.flatMap(limitsOf));
		if (found.limits.length === 0) this.limits.append(make("p", { class: "empty", text: "No limits were set." }));
		setText(this.barsHead, `Bars of ${symbol}, ${timeframe}, the newest ${BARS}`);
		this.bars.show([...market.bars].reverse().slice(0, BARS));
		this.shown.hidden = false;
	}

	#tell() {
		const { found, isKnownNow } = this.asked;
		const known = isKnownNow ? "as it is known now" : `as it was known at ${fullTime(found.known_at)}`;
		setText(this.said, `What held at ${fullTime(found.at)}, ${known}.`);
	}

	async #showChanges(turn, query) {
		if (query.since === null) throw new Error("name a time: what was known then is compared with what is known later");
		const found = await get("/as-of/changes", query, LONG_MS);
		if (turn !== this.turn) return;
		this.asked = undefined;
		this.shown.hidden = true;
		const count = found.items.length + (found.left_out ?? 0);
		const more = count > CHANGES ? `; the first ${CHANGES} are shown` : "";
		setText(this.said, `At ${fullTime(found.at)}: ${count === 0 ? "nothing is" : `${count} figures are`} another one than was known at `
			+ `${fullTime(found.since)}, by what came until ${fullTime(found.until)}${more}.`);
		const table = new Table([
			{ head: "Figure", text: (item) => `${item.table} ${words(item.figure)}` },
			{ head: "Of", kind: "wide", text: (item) => item.key.slice(2).filter(Boolean).join(" ") || item.key.filter(Boolean).join(" ") },
			{ head: "Was", kind: "value", text: (item) => pairOf(item)[0] }, { head: "Is", kind: "value", tone: () => "accent", text: (item) => pairOf(item)[1] },
			{ head: "By what", kind: "wide", fill: (cell, item) => cell.replaceChildren(...this.#events(item.events)) },
		], { empty: "Nothing has changed." });
		table.show(found.items.slice(0, CHANGES).map((item, index) => ({ ...item, id: index })));
		this.changes.replaceChildren(table.element);
	}

	#events(events) {
		const left = events.length - EVENTS;
		return [...events.slice(-EVENTS).map((each) => this.#event(each)), ...(left > 0 ? [make("p", { class: "muted", text: `and ${left} before` })] : [])];
	}

	#event(event) {
		const text = `${words(event.what)} ${event.subject}${event.detail}, known at ${fullTime(event.known_at)}${event.by ? `, by ${event.by}` : ""}`;
		const canAsk = ["FILL", "BUST", "CORRECTION", "ORDER"].includes(event.what);
		return make("p", {}, text, canAsk ? make("button", {
			type: "button", class: "small plain", text: "Why?", onclick: () => this.desk.explain(event.subject),
		}) : null);
	}
}

const UNITS = { s: 1, m: 60, h: 3600, D: 86400 };
const secondsOf = (timeframe) => Number.parseInt(timeframe, 10) * (UNITS[timeframe.at(-1)] ?? 86400);

/** What a figure was and is; of values by name only those that are another one. */
function pairOf({ before, after }) {
	try {
		const [was, is] = [JSON.parse(before), JSON.parse(after)];
		if (typeof was !== "object" || typeof is !== "object") throw new TypeError();
		const names = Object.keys({ ...was, ...is }).filter((name) => JSON.stringify(was[name]) !== JSON.stringify(is[name]));
		return [was, is].map((values) => names.map((name) => `${words(name)}: ${told(name, values[name])}`).join(", "));
	} catch {
		return [plain(before), plain(after)];
	}
}

const plain = (value) => (value === null || value === undefined ? "–" : typeof value === "object" ? JSON.stringify(value) : amount(value));

function limitsOf(record) {
	let values = {};
	try {
		values = JSON.parse(record.limits_json);
	} catch {
		values = { limits: record.limits_json };
	}
	const table = new Table(valueColumns, { empty: "No limit is set." });
	table.show(rowsOf(values));
	const text = `${record.limits_id}: asked for by ${record.requested_by}, approved by ${record.approved_by || "nobody"}, since ${timeOf(record.timestamp)}`;
	return [make("p", { class: "muted", text }), table.element];
}
