// The order ticket: a single order or a bracket, and what risk would say of it before it is sent.

import { command, newKey } from "./api.js";
import { byId, facts, make, notify, setText } from "./dom.js";
import { amount } from "./format.js";

const PREVIEW_MS = 350;
const AGAIN_MS = 700;
const NEEDS = {
	MARKET: [], LIMIT: ["limit_price"], STOP: ["stop_price"], STOP_LIMIT: ["limit_price", "stop_price"],
	TRAILING_STOP: ["trail"],
};
const PRICES = ["limit_price", "stop_price", "trail"];
const LABELS = {
	limit_price: "limit price", stop_price: "stop price", trail: "trail", target: "target", stop: "stop",
	quantity: "quantity", expire_at: "end of the order",
};

/** The ticket; `desk` tells the chosen account, symbol, its last price, and whether it may trade. */
export class Ticket {
	constructor(desk) {
		this.desk = desk;
		this.form = byId("ticket");
		this.send = byId("ticket-send");
		this.timer = 0;
		this.turn = 0;
		// The same order given again after a lost answer goes under the same key: it is carried out once.
		this.key = null;
		this.sending = false;
		this.form.addEventListener("submit", (event) => {
			event.preventDefault();
			this.#submit();
		});
		this.form.addEventListener("input", () => this.changed());
		this.form.addEventListener("keydown", (event) => {
			if (event.key === "Enter" && event.target.matches("input, select")) {
				event.preventDefault();
				if (event.ctrlKey || event.metaKey) this.form.requestSubmit();
				else this.send.focus();
			}
		});
		this.changed();
	}

	#field = (name) => this.form.elements[name];

	/** Choose a side: BUY or SELL. */
	setSide(side) {
		this.form.elements.side.value = side;
		this.changed();
	}

	/** Put the cursor where the quantity is typed. */
	focus() {
		this.#field("quantity").focus();
		this.#field("quantity").select();
	}

	/** Take a price from the book. */
	takePrice(price) {
		const kind = this.#field("kind");
		if (kind.value === "MARKET" || kind.value === "TRAILING_STOP") kind.value = "LIMIT";
		this.#field(NEEDS[kind.value][0]).value = price;
		this.changed();
	}

	/** Empty what was typed, as for another symbol. */
	clear() {
		for (const name of [...PRICES, "target", "stop", "expire_at"]) this.#field(name).value = "";
		this.changed();
	}

	/** Follow a change of a field, of the symbol, or of what may be done. */
	changed() {
		this.key = null;
		const kind = this.#field("kind").value;
		const bracket = this.#field("bracket").checked;
		for (const name of PRICES) this.#field(name).closest("label").hidden = !NEEDS[kind].includes(name);
		byId("ticket-exits").hidden = !bracket;
		this.#field("expire_at").closest("label").hidden = this.#field("time_in_force").value !== "GTD";
		this.form.dataset.side = this.form.elements.side.value;
		this.refresh();
		clearTimeout(this.timer);
		this.turn += 1;
		if (this.#missing().length > 0 || !this.desk.canTrade()) this.#say("", "");
		else this.timer = setTimeout(() => this.#preview(), PREVIEW_MS);
	}

	/** Say on the button what it would do, and whether it can. */
	refresh() {
		const { side, kind } = this.#values();
		const quantity = this.#field("quantity").value.trim() || "0";
		const symbol = this.desk.symbol();
		const what = `${side} ${quantity} ${symbol} ${kind.toLowerCase().replaceAll("_", " ")}`;
		const why = this.desk.whyNot();
		setText(this.send, this.key === null ? what : `${what} — send again`);
		setText(byId("ticket-why"), why);
		this.send.disabled = this.sending || why !== "";
		byId("ticket-fields").disabled = !this.desk.canTrade();
	}

	/** Ask risk again, since a price or position has changed. */
	judgeAgain() {
		const isUsed = byId("ticket-preview").textContent !== "";
		if (isUsed && !this.sending && this.#missing().length === 0 && this.desk.canTrade()) this.#preview();
	}

	#values = () => ({ side: this.form.elements.side.value, kind: this.#field("kind").value });

	#missing() {
		const { kind } = this.#values();
		const needed = ["quantity", ...NEEDS[kind]];
		if (this.#field("bracket").checked) needed.push("target", "stop");
		if (this.#field("time_in_force").value === "GTD") needed.push("expire_at");
		return needed.filter((name) => this.#field(name).value.trim() === "");
	}

	#order() {
		const { side, kind } = this.#values();
		const text = (name) => this.#field(name).value.trim();
		const order = {
			account: this.desk.account(), symbol: this.desk.symbol(), side, kind, quantity: text("quantity"),
			time_in_force: text("time_in_force"),
		};
		for (const name of NEEDS[kind]) order[name] = text(name);
		if (this.#field("bracket").checked) Object.assign(order, { target: text("target"), stop: text("stop") });
		if (order.time_in_force === "GTD") order.expire_at = this.desk.instantOf(text("expire_at"));
		for (const name of ["reduce_only", "post_only"]) if (this.#field(name).checked) order[name] = true;
		return order;
	}

	/** What is wrong with the exits of a bracket as typed; risk judges the entry alone. */
	#faultOf(order) {
		if (order.target === undefined) return "";
		const entry = Number(order.limit_price ?? order.stop_price ?? this.desk.price() ?? Number.NaN);
		const [target, stop] = [Number(order.target), Number(order.stop)];
		const isBuy = order.side === "BUY";
		const isRight = isBuy ? target > entry && entry > stop : target < entry && entry < stop;
		if (Number.isNaN(entry) || isRight) return "";
		const wanted = isBuy ? "target above and stop below" : "target below and stop above";
		return `a ${order.side} bracket has its ${wanted} the entry at ${entry}`;
	}

	#say(kind, text, ...more) {
		const box = byId("ticket-preview");
		box.className = kind;
		box.replaceChildren(...(text === "" ? [] : [make("strong", { text })]), ...more);
	}

	async #preview() {
		this.turn += 1;
		const turn = this.turn;
		const order = this.#order();
		const fault = this.#faultOf(order);
		if (fault !== "") {
			this.#say("refused", fault);
			return;
		}
		let verdict;
		try {
			verdict = await command("POST", "/orders/preview", order);
		} catch (problem) {
			if (turn === this.turn) this.#say("refused", problem.code || "Not possible", make("p", { text: problem.message }));
			return;
		}
		if (turn !== this.turn) return;
		if (!verdict.allowed) {
			const lines = [
				["limit", verdict.limit], ["seen", verdict.seen.seen], ["allowed", verdict.allowed_text],
			].filter(([, value]) => value);
			this.#say("refused", `Risk would refuse: ${verdict.code}`, facts(lines));
			return;
		}
		const seen = Object.entries(verdict.seen).map(([name, value]) => [name, amount(trimmed(value))]);
		const title = verdict.scaled ? `Risk would allow ${verdict.quantity} of it` : "Risk would allow it";
		this.#say("allowed", title, facts(seen));
	}

	async #submit() {
		if (this.sending || this.send.disabled) return;
		const missing = this.#missing();
		if (missing.length > 0) {
			this.#say("refused", `Missing: ${missing.map((name) => LABELS[name]).join(", ")}`);
			this.#field(missing[0]).focus();
			return;
		}
		const order = this.#order();
		const fault = this.#faultOf(order);
		if (fault !== "") {
			this.#say("refused", fault);
			return;
		}
		clearTimeout(this.timer);
		this.turn += 1;
		this.sending = true;
		const key = this.key ?? newKey();
		const path = order.target === undefined ? "/orders" : "/orders/bracket";
		const what = `${order.side} ${order.quantity} ${order.symbol}`;
		this.refresh();
		try {
			const answer = await command("POST", path, order, key);
			this.key = null;
			this.#say("allowed", `Sent: ${answer.bracket_id ?? answer.order_id}`);
			notify(`${what} sent`);
		} catch (problem) {
			this.key = problem.isOpen ? key : null;
			this.#say("refused", problem.isOpen ? "No answer came" : `Refused: ${problem.code}`, ...this.#why(problem));
			if (!problem.isOpen) notify(`${what} refused: ${problem.message}`, "problem");
		}
		// A second click of a double click is no second order.
		setTimeout(() => {
			this.sending = false;
			this.refresh();
		}, AGAIN_MS);
	}

	#why(problem) {
		if (problem.isOpen) {
			const text = `${problem.message} Sending again is safe: the order is carried out once.`;
			return [make("p", { text })];
		}
		const { limit, seen, allowed } = problem.body;
		if (limit === undefined) return [make("p", { text: problem.message })];
		const { order_id: id } = problem.body;
		const why = id ? make("button", { type: "button", class: "small", text: "Why?", onclick: () => this.desk.explain(id) }) : null;
		return [facts([["limit", limit], ["seen", seen], ["allowed", allowed]]), why].filter(Boolean);
	}
}

const trimmed = (text) => (text.includes(".") ? text.replace(/\.?0+$/, "") : text);
