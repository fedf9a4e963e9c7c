// Replays: a recording is played on a chart of its own, with the orders, fills and positions of its moment.
// It takes the place of the live page, and nothing of it is live.

import { LONG_MS, command, get, newKey } from "./api.js";
import { LINES, PriceChart } from "./chart.js";
import { byId, make, notify, openDialog, setText } from "./dom.js";
import { amount, fullTime, signed, timeOf, zoneLabel } from "./format.js";
import { preferences } from "./preferences.js";
import { isOpen } from "./records.js";
import { replayForm } from "./replay_form.js";
import { Table } from "./table.js";
import { fillColumns, orderColumns, words } from "./views.js";
import { openWhatIf } from "./what_if.js";

const DRAW_MS = 120;
const SPEEDS = ["0.5", "1", "2", "5", "10", "60", "600", "3600"];
const KEPT = 500;
// Keys of the live page that would do something that is not of the replay.
const LIVE_KEYS = "bsot/[]1234567890ac";
const TITLE = document.title;

const tone = (value) => (Number(value) > 0 ? "up" : Number(value) < 0 ? "down" : "");
const money = (head, name) => ({ head, kind: "number", text: (item) => signed(item[name]), tone: (item) => tone(item[name]) });
const time = { head: "Time", kind: "time", text: (item) => timeOf(item.timestamp) };

const positionColumns = [
	{ head: "Symbol", kind: "symbol", text: (item) => item.symbol }, { head: "Strategy", text: (item) => item.strategy || "by hand" },
	{ head: "Quantity", kind: "number", text: (item) => amount(item.net_quantity), tone: (item) => tone(item.net_quantity) },
	money("Unrealized", "unrealized_amount"), money("Realized", "realized_amount"),
	{ head: "Fees", kind: "number", text: (item) => amount(item.fee_amount) }, money("Total", "total_amount"),
];
const signalColumns = [
	time, { head: "Symbol", kind: "symbol", text: (item) => item.symbol },
	{ head: "Action", text: (item) => item.signal_action, tone: (item) => ({ BUY: "up", SELL: "down" })[item.signal_action] ?? "" },
	{ head: "Strategy", text: (item) => item.strategy }, { head: "Reason", kind: "wide", text: (item) => item.signal_reason },
];
const decisionColumns = [
	time, { head: "By", text: (item) => words(item.decision_kind) },
	{ head: "Decision", text: (item) => words(item.decision_code), tone: (item) => (item.decision_code === "OK" ? "" : "warn") },
	{ head: "Why", kind: "wide", text: (item) => item.detail }, { head: "About", kind: "id", text: (item) => item.order_id || item.signal_id },
];
const alertColumns = [
	time, { head: "Alert", text: (item) => words(item.alert_code), tone: () => "warn" }, { head: "Message", kind: "wide", text: (item) => item.message },
];

const LISTS = [
	["orders", "Orders", orderColumns(() => []), "No order was sent yet."], ["fills", "Fills", fillColumns, "No fills yet."],
	["positions", "Positions", positionColumns, "No positions yet."], ["signals", "Signals", signalColumns, "No strategy has said anything yet."],
	["decisions", "Decisions", decisionColumns, "Nothing was decided yet."], ["alerts", "Alerts", alertColumns, "No alerts."],
];
const KEYS = {
	orders: (item) => item.order_id, fills: (item) => item.fill_id, positions: (item) => `${item.account} ${item.strategy} ${item.symbol}`,
	bars: (item) => `${item.symbol} ${item.timeframe} ${item.start}`, prices: (item) => item.symbol,
};

/** The replay's part of the page; it shows nothing until a session is chosen. */
export const replayOf = (desk) => new Replay(desk);

class Replay {
	constructor(desk) {
		this.desk = desk;
		this.session = null;
		this.topic = "";
		this.shown = "orders";
		this.timer = 0;
		this.isSeeking = false;
		this.places = 0;
		this.#forget();
		this.#make();
	}

	#forget() {
		this.held = { bars: new Map(), prices: new Map(), orders: new Map(), fills: new Map(), positions: new Map(), signals: [], decisions: [], alerts: [] };
	}

	// --- the part of the page ------------------------------------------------------------------------

	#make() {
		const button = (text, title, act, more = {}) => make("button", { type: "button", text, title, onclick: act, ...more });
		this.name = make("strong");
		this.clock = make("b", { id: "replay-time" });
		this.said = make("span", { id: "replay-state" });
		this.total = make("b");
		this.play = button("Play", "Play or pause (p)", () => this.toggle(), { class: "primary", id: "replay-play" });
		this.seek = make("input", { type: "range", id: "replay-seek", "aria-label": "Recorded time", step: "1" });
		this.from = make("span", { class: "muted" });
		this.until = make("span", { class: "muted" });
		this.speed = make("select", { "aria-label": "Speed", id: "replay-speed" });
		this.symbol = make("select", { "aria-label": "Symbol of the replay", onchange: () => this.#drawChart() });
		this.timeframe = make("select", { "aria-label": "Length of the replay's bars", onchange: () => this.#drawChart() });
		const [area, note, told] = [make("div", { id: "replay-chart" }), make("span", { class: "chart-note" }), make("span", { class: "chart-told" })];
		this.seek.addEventListener("input", () => {
			this.isSeeking = true;
			setText(this.said, `to ${fullTime(Number(this.seek.value))}…`);
		});
		this.seek.addEventListener("change", async () => {
			this.isSeeking = true;
			this.box.setAttribute("aria-busy", "true");
			const answer = await this.control({ action: "seek", time: new Date(Number(this.seek.value)).toISOString() });
			this.box.removeAttribute("aria-busy");
			this.isSeeking = false;
			if (this.session !== null) this.#status(answer ?? {});
		});
		this.speed.addEventListener("change", () => this.control({ action: "speed", speed: this.speed.value === "" ? null : Number(this.speed.value) }));
		this.tables = Object.fromEntries(LISTS.map(([name, , columns, empty]) => (
			[name, new Table(columns, { empty, keyOf: KEYS[name] ?? ((item) => item.place) })])));
		this.tabs = LISTS.map(([name, title]) => button(title, "", () => this.#open(name), { role: "tab", "data-list": name }));
		const step = (what) => button(`+1 ${what}`, `Go on to the next ${what}${what === "bar" ? " (.)" : ""}`, () => this.control({ action: "step", what, count: 1 }), { "data-step": what });
		this.box = make(
			"section", { id: "replay", "aria-label": "Replay", hidden: true },
			make("div", { class: "replay-head" },
				make("span", { class: "replay-badge", text: "REPLAY" }), this.name, make("span", {}, "recorded time ", this.clock), this.said,
				make("span", { class: "replay-total" }, "P&L of the replay ", this.total),
				button("Another", "Choose another replay (r)", () => this.choose()), button("End", "End this replay for good", () => this.end()),
				button("Back to live", "Back to live (l)", () => this.leave(), { id: "replay-leave", class: "primary" })),
			make("div", { class: "replay-controls" },
				button("Restart", "Go back to the beginning", () => this.control({ action: "restart" })), this.play,
				step("tick"), step("bar"), step("order"), make("label", {}, "Speed ", this.speed),
				make("span", { class: "replay-seek" }, this.from, this.seek, this.until)),
			make("div", { class: "replay-chart" },
				make("div", { class: "bar" }, this.symbol, this.timeframe, told),
				make("div", { class: "replay-area" }, area, note, make("span", { class: "replay-mark", text: "REPLAY", "aria-hidden": "true" }))),
			make("div", { class: "replay-lists" }, make("div", { class: "bar", role: "tablist" }, ...this.tabs),
				make("div", { class: "replay-table" }, ...Object.values(this.tables).map((table) => table.element))),
		);
		document.querySelector("main").before(this.box);
		this.area = area;
		this.chart = new PriceChart(area, note, told);
		this.#open("orders");
	}

	#open(name) {
		this.shown = name;
		for (const tab of this.tabs) tab.setAttribute("aria-selected", tab.dataset.list === name);
		for (const [each, table] of Object.entries(this.tables)) table.element.hidden = each !== name;
		this.#drawLists();
	}

	/** Take colours and the zone from the page. */
	look() {
		this.chart.applyLook();
		if (this.session !== null) this.#tell();
		for (const table of Object.values(this.tables)) table.redraw();
	}

	/** What a key does while a replay is shown; undefined where it does what it always does. */
	actionOf(key) {
		if (this.session === null) return undefined;
		const own = { p: () => this.toggle(), ".": () => this.control({ action: "step", what: "bar", count: 1 }), l: () => this.leave() }[key];
		if (own === undefined && LIVE_KEYS.includes(key)) return () => notify("This is a replay: l goes back to live.");
		return own;
	}

	// --- choosing ------------------------------------------------------------------------------------

	/** Let the user choose a recording, or a session that he has. */
	async choose() {
		let sources;
		let sessions;
		try {
			[sources, sessions] = await Promise.all([get("/replay/sources", {}, LONG_MS), get("/replay/session/list", {}, LONG_MS)]);
		} catch (problem) {
			notify(`No replay: ${problem.message}`, "problem");
			return;
		}
		const form = replayForm(sources, { symbol: this.desk.symbol(), timeframe: this.desk.timeframe() }, (session) => {
			dialog.close();
			this.enter(session);
		});
		const compare = make("p", { class: "links" }, make("button", {
			type: "button", text: "What would have been different…", title: "Compare a run with its replay, or with something changed",
			onclick: () => {
				dialog.close();
				openWhatIf(sources);
			},
		}));
		const dialog = openDialog("Replay a recording", this.#known(sessions.items, () => dialog.close()), form, sources.runs.length > 0 ? compare : null);
	}

	#known(sessions, close) {
		const going = sessions.filter((each) => !["ENDED", "FAILED"].includes(each.state));
		if (going.length === 0) return null;
		const rows = going.map((each) => make("p", { class: "replay-known" },
			make("span", { text: `${each.name}, ${words(each.state)} at ${fullTime(each.time ?? each.start)}` }),
			make("button", {
				type: "button", text: "Go on",
				onclick: () => {
					close();
					this.enter(each);
				},
			}),
			make("button", {
				type: "button", text: "End",
				onclick: async (event) => {
					event.target.closest("p").remove();
					await this.#forgetSession(each.session_id);
				},
			})));
		return make("div", { class: "links" }, make("h3", { text: "Yours" }), ...rows);
	}

	// --- the session ---------------------------------------------------------------------------------

	/** Show a session in the place of the live page. */
	enter(session) {
		if (this.topic !== "") this.desk.unfollow(this.topic);
		this.session = session;
		this.topic = session.session_id;
		this.#forget();
		document.body.dataset.mode = "replay";
		document.title = `REPLAY · ${TITLE}`;
		this.box.hidden = false;
		const lines = [...preferences.lines];
		for (const name of Object.keys(LINES)) this.chart.showLine(name, lines.includes(name));
		this.#tell();
		this.#drawChart();
		this.#drawLists();
		this.desk.follow(this.topic, (message) => this.#take(message));
		byId("replay-play").focus();
	}

	/** Go back to live; the session waits for a while and can be gone on with. */
	leave() {
		if (this.session === null) return;
		const { session_id: id, state } = this.session;
		this.desk.unfollow(this.topic);
		this.topic = "";
		this.session = null;
		delete document.body.dataset.mode;
		document.title = TITLE;
		this.box.hidden = true;
		notify("Back to live.");
		if (state === "PLAYING") command("POST", this.#path(id, "/control"), { action: "pause" }).catch(() => {});
	}

	/** End the session for good, and go back to live. */
	async end() {
		const id = this.session?.session_id;
		this.leave();
		if (id !== undefined) await this.#forgetSession(id);
	}

	async #forgetSession(id) {
		try {
			await command("DELETE", this.#path(id));
		} catch (problem) {
			notify(problem.message, "problem");
		}
	}

	#path = (id, more = "") => `/replay/session/${encodeURIComponent(id)}${more}`;

	/** Play, or pause; from its end it begins again. */
	async toggle() {
		if (this.session.state === "FINISHED") await this.control({ action: "restart" });
		await this.control({ action: this.session?.state === "PLAYING" ? "pause" : "play" });
	}

	/** Give a control to the session. */
	async control(action) {
		const id = this.session?.session_id;
		if (id === undefined) return undefined;
		try {
			const status = await command("POST", this.#path(id, "/control"), action, newKey(), LONG_MS);
			if (this.session?.session_id === id) this.#status(status);
			return status;
		} catch (problem) {
			notify(`replay: ${problem.message}`, "problem");
			return undefined;
		}
	}

	#next() {
		this.places += 1;
		return this.places;
	}

	#status(status) {
		// Answers and messages may overtake each other for a moment: the last message of the socket stays.
		this.session = { ...this.session, ...status };
		this.#tell();
	}

	#take(message) {
		if (this.session === null) return;
		if (message.type === "error") {
			this.#status({ state: "ENDED", problem: message.detail });
			return;
		}
		if (message.item === undefined) return;
		const { item } = message;
		const isSnapshot = message.type === "snapshot";
		if (isSnapshot) this.#forget();
		for (const [name, known] of Object.entries(this.held)) {
			if (known instanceof Map) for (const each of item[name] ?? []) known.set(KEYS[name](each), each);
			else if (item[name]?.length > 0) this.held[name] = [...known, ...item[name].map((each) => ({ ...each, place: this.#next() }))].slice(-KEPT);
		}
		this.#status(item.session ?? {});
		if (isSnapshot) this.#drawChart();
		else for (const bar of item.bars ?? []) this.chart.takeBar(bar);
		if (this.timer === 0) {
			this.timer = setTimeout(() => {
				this.timer = 0;
				this.#drawLists();
			}, DRAW_MS);
		}
	}

	// --- drawing -------------------------------------------------------------------------------------

	#tell() {
		const { name, state, start, end, speed, problem, strategy, kind } = this.session;
		const now = this.session.time ?? start;
		setText(this.name, [name, kind === "run" ? "a run" : kind, strategy].filter(Boolean).join(" · "));
		if (!this.isSeeking) setText(this.said, problem ? `${words(state)}: ${problem}` : words(state));
		this.said.className = problem ? "problem" : "";
		setText(this.play, state === "PLAYING" ? "Pause" : "Play");
		this.box.dataset.state = state;
		this.box.dataset.position = this.session.position ?? 0;
		setText(this.from, timeOf(start));
		setText(this.until, `${timeOf(end)} ${zoneLabel()}`);
		if (!this.isSeeking) {
			this.seek.min = Date.parse(start);
			this.seek.max = Date.parse(end);
			this.seek.value = Date.parse(now);
			this.seek.setAttribute("aria-valuetext", fullTime(now));
		}
		setText(this.clock, fullTime(now));
		const wanted = speed === null || speed === undefined ? "" : String(Number(speed));
		const speeds = wanted === "" || SPEEDS.includes(wanted) ? SPEEDS : [wanted, ...SPEEDS];
		if (this.speed.children.length !== speeds.length + 1) {
			this.speed.replaceChildren(...speeds.map((each) => make("option", { value: each, text: `${each}×` })), make("option", { value: "", text: "fastest" }));
		}
		if (document.activeElement !== this.speed) this.speed.value = wanted;
	}

	#choices(select, names) {
		const { value } = select;
		if (names.join() !== [...select.options].map((each) => each.value).join()) {
			select.replaceChildren(...names.map((each) => make("option", { value: each, text: each })));
			if (names.includes(value)) select.value = value;
		}
	}

	#drawChart() {
		const bars = [...this.held.bars.values()];
		const names = (given, name) => [...new Set([...(given ?? []), ...bars.map((each) => each[name])])];
		this.#choices(this.symbol, names(this.session.symbols, "symbol"));
		this.#choices(this.timeframe, names(this.session.timeframes, "timeframe"));
		const [symbol, timeframe] = [this.symbol.value, this.timeframe.value];
		const shown = bars.filter((bar) => bar.symbol === symbol && bar.timeframe === timeframe).sort((a, b) => (a.start < b.start ? -1 : 1));
		this.chart.show(symbol, timeframe, this.desk.instrument(symbol), shown);
		this.#drawTrades();
	}

	#drawTrades() {
		const here = (item) => item.symbol === this.symbol.value;
		const orders = [...this.held.orders.values()].filter(here).map((order) => ({ ...order, isOpen: isOpen(order) }));
		this.chart.showTrades(orders, [...this.held.fills.values()].filter((fill) => here(fill) && fill.status === "BOOKED"), false);
	}

	#drawLists() {
		const known = this.held[this.shown];
		this.tables[this.shown].show([...known.values()].reverse());
		for (const tab of this.tabs) {
			const { size, length } = this.held[tab.dataset.list];
			setText(tab, `${LISTS.find(([name]) => name === tab.dataset.list)[1]} ${size ?? length}`);
		}
		const total = [...this.held.positions.values()].reduce((sum, each) => sum + Number(each.total_amount ?? 0), 0);
		setText(this.total, signed(total.toFixed(2)));
		this.total.className = tone(total);
		if (this.session !== null) this.#drawTrades();
	}
}
