// The tabs under the chart: records, what the desk is doing, and what held at another time.

import { Problem, command, get, pathOfOrder } from "./api.js";
import { byId, confirmed, facts, make, notify, openDialog, setText } from "./dom.js";
import { amount, signed } from "./format.js";
import { isOpen } from "./records.js";
import { Table } from "./table.js";
import * as views from "./views.js";

const POLL_MS = 3000;
const PAGE = 200;

/** The tabs; `desk` tells account, run, role and symbol, and what may be done. */
export class Panels {
	constructor(desk, records) {
		this.desk = desk;
		this.records = records;
		this.filter = "";
		this.onlyOpen = true;
		this.onlySymbol = false;
		this.state = null;
		this.unseen = 0;
		this.held = { positions: [], pnl: null, strategies: [], picker: [] };
		this.tabs = this.#make();
		this.active = "orders";
		const bar = byId("tabs");
		const body = byId("panels");
		for (const tab of this.tabs) {
			tab.button = make("button", {
				type: "button", role: "tab", id: `tab-${tab.id}`, "aria-controls": `panel-${tab.id}`, text: tab.title,
				onclick: () => this.open(tab.id),
			});
			tab.panel = make("section", { id: `panel-${tab.id}`, role: "tabpanel", "aria-label": tab.title }, ...tab.content);
			bar.append(tab.button);
			body.append(tab.panel);
		}
		bar.addEventListener("keydown", (event) => {
			const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
			if (step !== undefined) {
				this.step(step);
				this.tabs.find((tab) => tab.id === this.active).button.focus();
			}
		});
		records.onChange((topics) => this.#changed(topics));
		setInterval(() => this.poll(), POLL_MS);
		this.open("orders");
	}

	#mine = (item) => item.account === this.desk.account() && item.run === this.desk.run();

	#takes = (item) => this.#mine(item) && (!this.onlySymbol || item.symbol === undefined || item.symbol === this.desk.symbol())
		&& (this.filter === "" || JSON.stringify(item).toLowerCase().includes(this.filter));

	#listed(id, title, columns, empty, topic = id) {
		const table = new Table(columns, { empty, onOpen: (item) => this.#details(title, item) });
		const older = make("button", { type: "button", class: "plain", text: "Older records", onclick: () => this.#older(topic, older) });
		return {
			id, title, topic, tables: [table], content: [table.element, make("div", { class: "more" }, older)],
			draw: () => {
				older.hidden = this.records.olderOf(topic) === "";
				table.show(this.records.of(topic, this.#takes));
			},
		};
	}

	#make() {
		const orders = this.#listed("orders", "Orders", views.orderColumns((cell) => this.#orderActions(cell)), "No orders.");
		orders.tables[0].onOpen = (item) => this.#orderDetails(item);
		orders.draw = () => {
			const all = this.records.of("orders", this.#takes);
			orders.tables[0].show(all.filter((item) => !this.onlyOpen || isOpen(item)), all);
			setText(orders.tables[0].note, this.onlyOpen ? "No open orders." : "No orders.");
		};
		return [
			orders,
			this.#listed("fills", "Fills", views.fillColumns, "No fills yet."),
			this.#positions(), this.#earnings(),
			this.#listed("signals", "Signals", views.signalColumns, "No strategy has said anything yet."),
			this.#listed("decisions", "Decisions", views.decisionColumns, "Nothing was decided yet."),
			this.#listed("alerts", "Alerts", views.alertColumns, "No alerts."),
			this.#later("limits", "Limits", () => import("./governance.js")),
			this.#strategies(), this.#processes(),
			this.#later("asof", "As of", () => import("./times.js")),
			this.#later("options", "Options", () => import("./chain.js")),
		];
	}

	/** A tab whose module is loaded when it is first opened: it has `part(desk, box)` with tables, draw and shown. */
	#later(id, title, load) {
		const box = make("div", {}, make("p", { class: "empty", text: "loading…" }));
		const tab = { id, title, tables: [], content: [box], part: null, draw: () => tab.part?.draw() };
		tab.show = async (isShown) => {
			if (isShown && tab.part === null) {
				try {
					const module = await load();
					if (tab.part === null) {
						box.replaceChildren();
						tab.part = module.part(this.desk, box);
						tab.tables = tab.part.tables;
					}
				} catch (problem) {
					setText(box.firstElementChild, `This part could not be loaded: ${problem.message}. Load the page again.`);
				}
			}
			tab.part?.shown(this.active === id);
		};
		return tab;
	}

	/** Show a tab. */
	open(id) {
		this.active = id;
		if (id === "alerts") this.unseen = 0;
		for (const tab of this.tabs) {
			tab.button.setAttribute("aria-selected", tab.id === id);
			tab.button.tabIndex = tab.id === id ? 0 : -1;
			tab.panel.hidden = tab.id !== id;
			tab.show?.(tab.id === id);
		}
		const { topic } = this.tabs.find((tab) => tab.id === id);
		byId("record-tools").hidden = topic === undefined && id !== "positions";
		byId("only-open").closest("label").hidden = id !== "orders";
		byId("order-actions").hidden = !["orders", "positions"].includes(id) || !this.desk.mayHalt();
		this.#tellUnseen();
		this.draw();
		this.poll();
	}

	/** Show the tab so many places to the right, or to the left. */
	step(by) {
		const index = this.tabs.findIndex((tab) => tab.id === this.active);
		this.open(this.tabs[(index + by + this.tabs.length) % this.tabs.length].id);
	}

	/** Show the tab at a place, counted from 1. */
	openAt(place) {
		if (this.tabs[place - 1] !== undefined) this.open(this.tabs[place - 1].id);
	}

	/** Write what is shown again; with `all`, texts too that have not changed, as after another zone. */
	draw(all = false) {
		const tab = this.tabs.find((each) => each.id === this.active);
		tab.draw();
		if (all) for (const table of tab.tables) table.redraw();
	}

	#changed(topics) {
		const tab = this.tabs.find((each) => each.id === this.active);
		if (topics.has(tab.topic)) this.draw();
		if (topics.has("positions") || topics.has("fills") || topics.has("cash")) this.poll();
	}

	/** Note an alert that came while another tab is open. */
	alerted(item) {
		if (!this.#mine(item)) return;
		notify(`Alert: ${item.alert_message || item.alert_code}`, "problem");
		if (this.active !== "alerts") this.unseen += 1;
		this.#tellUnseen();
	}

	#tellUnseen() {
		const button = byId("tab-alerts");
		setText(button, this.unseen === 0 ? "Alerts" : `Alerts (${this.unseen})`);
		button.classList.toggle("warn", this.unseen > 0);
	}

	/** Ask for what no socket brings: values of positions, and the open tab's lists. */
	async poll() {
		if (!this.desk.isConnected() || document.hidden || this.desk.account() === "") return;
		if (this.asking) {
			this.again = true;
			return;
		}
		this.asking = true;
		const account = this.desk.account();
		const query = { account };
		try {
			const [positions, pnl] = await Promise.all([get("/positions", { ...query, limit: 500 }), get("/pnl", query)]);
			this.held.positions = positions.items.filter(this.#mine);
			this.held.pnl = pnl.items.find(this.#mine) ?? null;
			this.desk.onEarned(this.held.pnl, this.held.positions);
			if (this.active === "strategies") {
				const [strategies, picker] = await Promise.all([get("/strategies", query), get("/picker", query)]);
				this.held.strategies = strategies.items;
				this.held.picker = picker.items;
			}
			if (account === this.desk.account()) this.draw();
		} catch (problem) {
			// The page's state line says it where the connection is lost; the next turn asks again.
			if (!(problem instanceof Problem)) throw problem;
		} finally {
			this.asking = false;
			if (this.again) {
				this.again = false;
				setTimeout(() => this.poll(), 300);
			}
		}
	}

	/** Take the desk's state, as the socket tells it. */
	takeState(state) {
		this.state = state;
		if (this.active === "desk") this.draw();
	}

	async #older(topic, button) {
		button.disabled = true;
		try {
			const query = { account: this.desk.account(), limit: PAGE, cursor: this.records.olderOf(topic) };
			let page = await get(`/${topic}`, query);
			// The first pages are those that the socket has brought already.
			const known = new Set(this.records.of(topic).map((item) => item.id));
			while (page.next_cursor !== null && page.items.every((item) => known.has(item.id))) {
				page = await get(`/${topic}`, { ...query, cursor: page.next_cursor });
			}
			this.records.addOlder(topic, page.items, page.next_cursor ?? "");
		} catch (problem) {
			notify(problem.message, "problem");
		}
		button.disabled = false;
	}

	// --- orders ------------------------------------------------------------------------------------

	#orderActions(cell) {
		if (!this.desk.mayTrade()) return [];
		const order = () => cell.closest("tr").item;
		return [
			make("button", { type: "button", class: "small", text: "Change", onclick: () => this.change(order()) }),
			make("button", { type: "button", class: "small danger", text: "Cancel", onclick: () => this.cancel(order()) }),
		];
	}

	/** Ask for an order's end. */
	async cancel(order) {
		try {
			await command("DELETE", pathOfOrder(order.order_id));
			notify(`${order.side} ${order.order_quantity} ${order.symbol}: cancel sent`);
		} catch (problem) {
			notify(`not canceled: ${problem.message}`, "problem");
		}
	}

	/** Let the user change an order's terms. */
	change(order) {
		const fields = [["quantity", order.order_quantity], ["limit_price", order.limit_price], ["stop_price", order.stop_price]]
			.filter(([, value]) => value !== null);
		const said = make("p", { class: "problem", role: "alert" });
		const form = make("form", {
			onsubmit: async (event) => {
				event.preventDefault();
				const changed = fields.map(([name, value]) => [name, form.elements[name].value.trim(), value])
					.filter(([, now, before]) => now !== before);
				if (changed.length === 0) {
					dialog.close();
					return;
				}
				try {
					await command("PATCH", pathOfOrder(order.order_id), Object.fromEntries(changed));
					notify(`${order.symbol}: change sent`);
					dialog.close();
				} catch (problem) {
					setText(said, problem.message);
				}
			},
		});
		for (const [name, value] of fields) {
			const input = make("input", { name, inputmode: "decimal", autocomplete: "off", required: true, value });
			form.append(make("label", {}, make("span", { text: name.replace("_", " ") }), input));
		}
		form.append(said, make("div", { class: "actions" }, make("button", { type: "submit", class: "primary", text: "Change" })));
		const dialog = openDialog(`Change ${order.side} ${order.symbol}`, form);
		form.elements[fields.length > 1 ? fields[1][0] : "quantity"].select();
	}

	async #orderDetails(order) {
		const history = new Table(views.historyColumns, { empty: "loading…", keyOf: (item) => item.version });
		const decisions = new Table(views.decisionColumns, { empty: "Nothing was decided about it." });
		const content = [
			this.#why(order.order_id, order), facts(views.factsOf(order)), make("h3", { text: "States" }), history.element,
			make("h3", { text: "Decisions" }), decisions.element,
		];
		openDialog(`Order ${order.order_id}`, ...content).classList.add("wide");
		try {
			const [found, decided] = await Promise.all([
				get(pathOfOrder(order.order_id)), get("/decisions", { order_id: order.order_id, account: order.account }),
			]);
			history.show(found.history);
			decisions.show(decided.items);
		} catch (problem) {
			setText(history.note, problem.message);
		}
	}

	#details(title, item) {
		openDialog(title, this.#why(views.subjectOf(title, item), item), facts(views.factsOf(item)));
	}

	#why(subject, { account, run }) {
		if (!subject) return null;
		const why = make("button", { type: "button", text: "Why?", onclick: () => this.desk.explain(subject, account, run) });
		return make("div", { class: "why" }, why);
	}

	/** Cancel every open order of the account, once the user has confirmed it. */
	async cancelAll() {
		const account = this.desk.account();
		if (await confirmed("Cancel all", `Cancel every open order of ${account}?`, "Cancel all orders")) {
			await this.#whole("cancel_all", {}, "cancels sent");
		}
	}

	/** Close every position of the account at the market, once the user has confirmed it. */
	async flatten() {
		const question = `Cancel every open order of ${this.desk.account()} and close its positions at the market?`;
		if (await confirmed("Close all positions", question, "Close everything")) {
			await this.#whole("flatten", {}, "orders that close the positions are sent");
		}
	}

	/** Make the account ACTIVE, REDUCING or HALTED, with a reason. */
	async setState(state) {
		const action = { HALTED: "Halt trading", REDUCING: "Only reduce", ACTIVE: "Trade again" }[state];
		const reason = await confirmed(action, `${this.desk.account()} becomes ${state}. Why?`, action, "reason");
		if (reason !== false) await this.#whole("state", { state, reason: reason || "by hand" }, `is ${state}`);
	}

	async #whole(what, body, done) {
		const account = this.desk.account();
		try {
			await command("POST", `/accounts/${encodeURIComponent(account)}/${what}`, body);
			notify(`${account}: ${done}`);
		} catch (problem) {
			notify(`${account}: ${problem.message}`, "problem");
		}
	}

	// --- the other tabs ----------------------------------------------------------------------------

	#positions() {
		const table = new Table(views.positionColumns, {
			empty: "No open positions.", onOpen: (item) => this.#details("Position", item),
		});
		return {
			id: "positions", title: "Positions", tables: [table], content: [table.element],
			draw: () => table.show(this.held.positions.filter(this.#takes)),
		};
	}

	#earnings() {
		const figures = make("div", { class: "figures" });
		const matches = new Table(views.matchColumns, {
			empty: "No position was closed yet.", onOpen: (item) => this.#details("Closed piece", item),
		});
		return {
			id: "pnl", title: "P&L", topic: "matches", tables: [matches],
			content: [figures, make("h3", { text: "Closed pieces of positions" }), matches.element],
			draw: () => {
				showEarned(figures, this.held.pnl, this.desk.base());
				matches.show(this.records.of("matches", this.#takes));
			},
		};
	}

	#strategies() {
		const strategies = new Table(views.strategyColumns, {
			empty: "No strategies.", keyOf: (item) => item.strategy, onOpen: (item) => this.#details("Strategy", item),
		});
		const picker = new Table(views.pickerColumns, { empty: "No picker.", keyOf: (item) => item.account });
		return {
			id: "strategies", title: "Strategies", tables: [strategies, picker],
			content: [strategies.element, make("h3", { text: "Places for open symbols" }), picker.element],
			draw: () => {
				strategies.show(this.held.strategies);
				picker.show(this.held.picker);
			},
		};
	}

	#processes() {
		const table = new Table(views.processColumns, { empty: "Nothing is told of the processes.", keyOf: (item) => item.name });
		const links = make("p", { class: "links" });
		return {
			id: "desk", title: "Desk", tables: [table], content: [table.element, links],
			draw: () => {
				table.show(this.state?.processes ?? []);
				if (this.state === null) return;
				const { market, engine } = this.state;
				const age = market.age_s === null ? "no tick yet" : `newest tick ${market.age_s.toFixed(1)} s old`;
				const told = [
					`Market ${market.connected ? "connected" : "away"}, ${age}${market.is_replay ? ", a replay" : ""}`,
					market.problem, `Engine ${engine.connected ? "connected" : "away"}`,
				];
				setText(links, told.filter(Boolean).join(" · "));
			},
		};
	}
}

const FIGURES = [
	["Equity", "equity", false], ["Net", "net_amount", true], ["Realized", "realized_amount", true],
	["Unrealized", "unrealized_amount", true], ["Fees", "fees_amount", false], ["Income", "income_amount", false],
	["Began with", "start_amount", false],
];

function showEarned(box, pnl, base) {
	if (box.children.length === 0) {
		for (const [title, name] of FIGURES) {
			box.append(make("div", { class: "figure" }, make("span", { text: title }), make("strong", { id: null, "data-name": name })));
		}
	}
	FIGURES.forEach(([, name, isSigned], index) => {
		const value = pnl?.[name] ?? null;
		const cell = box.children[index].lastElementChild;
		setText(cell, value === null ? "–" : `${isSigned ? signed(value) : amount(value, 2)} ${base}`);
		cell.className = isSigned && Number(value) !== 0 ? (Number(value) > 0 ? "up" : "down") : "";
	});
}
