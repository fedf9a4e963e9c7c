// The options ladder: strikes by rows, calls on the left, puts on the right, with Greeks and what is held.

import { get } from "./api.js";
import { make, setText } from "./dom.js";
import { amount, dayOf, fullTime } from "./format.js";

const ASK_MS = 2000;
const fixed = (digits) => (value) => (value === null || value === undefined ? "–" : amount(value, digits));
const percent = (value) => (value === null || value === undefined ? "–" : `${(100 * value).toFixed(1)} %`);
const priceOf = (value) => (value === null || value === undefined ? "–" : amount(value));

// Of a call, from the outside to the strike; a put has them the other way round.
const FIGURES = [
	["Held", "position", (value) => (value ? amount(value) : "")], ["Rho", "rho", fixed(3)], ["Theta", "theta", fixed(3)],
	["Vega", "vega", fixed(3)], ["Gamma", "gamma", fixed(4)], ["Delta", "delta", fixed(3)], ["Model", "theoretical_price", fixed(2)],
	["IV", "implied_vol", percent], ["Bid", "bid", priceOf], ["Ask", "ask", priceOf], ["Price", "option_price", priceOf],
];
const COLUMNS = { C: FIGURES, P: [...FIGURES].reverse() };

/** The tab "options". */
export function part(desk, box) {
	const ladder = new Ladder(desk, box);
	return { tables: [], draw: () => ladder.draw(), shown: (isShown) => ladder.follow(isShown) };
}

class Ladder {
	constructor(desk, box) {
		this.desk = desk;
		this.found = null;
		this.timer = 0;
		this.isShown = false;
		this.rows = new Map();
		this.underlyings = [];
		this.said = make("p", { class: "empty", text: "loading…" });
		this.underlying = make("select", { "aria-label": "Underlying", onchange: () => this.#ask() });
		this.expiry = make("select", { "aria-label": "Expiry", onchange: () => this.draw() });
		this.told = make("span", { class: "muted" });
		this.bar = make("div", { class: "chain-bar", hidden: true }, this.underlying, this.expiry, this.told);
		const heads = (side) => COLUMNS[side].map(([title, name]) => make("th", { class: `number of-${name}`, text: title }));
		this.body = make("tbody");
		this.table = make("table", { class: "chain", hidden: true }, make("thead", {},
			make("tr", {}, make("th", { colspan: FIGURES.length, class: "side", text: "Calls" }), make("th", { class: "strike" }),
				make("th", { colspan: FIGURES.length, class: "side", text: "Puts" })),
			make("tr", {}, ...heads("C"), make("th", { class: "strike", text: "Strike" }), ...heads("P"))), this.body);
		box.append(this.bar, this.said, make("div", { class: "table" }, this.table),
			make("p", { class: "links muted", text: "Vega and rho are for one percent, theta for a calendar day; IV is implied volatility a year." }));
	}

	/** Follow the chain while the tab is open: the socket tells each new one. */
	follow(isShown) {
		this.isShown = isShown;
		clearTimeout(this.timer);
		if (isShown) this.#ask();
		else {
			this.desk.takeOptions = null;
			this.desk.unfollow("options");
		}
	}

	async #ask() {
		clearTimeout(this.timer);
		const known = this.underlying.value;
		try {
			const underlyings = (await get("/options")).items.map((each) => each.underlying);
			if (!this.isShown) return;
			this.#choices(this.underlying, underlyings.map((each) => [each, each]), known);
			if (underlyings.length > 0) {
				this.desk.takeOptions = (chain) => this.#take(chain);
				this.desk.followValues("options", { symbols: [this.underlying.value] });
				return;
			}
			this.#none();
		} catch (problem) {
			// A desk without options knows no such route.
			if (problem.status === 404) this.#none();
			else setText(this.said, problem.message);
			this.said.hidden = false;
		}
		// The first chain may come a moment after the desk, or the connection.
		if (this.isShown) this.timer = setTimeout(() => this.#ask(), ASK_MS);
	}

	#take(chain) {
		if (chain.underlying !== this.underlying.value) return;
		this.found = chain;
		this.held = new Map();
		for (const { symbol, net_quantity: net } of this.desk.positions()) this.held.set(symbol, (this.held.get(symbol) ?? 0) + Number(net));
		if (!document.hidden) this.draw();
	}

	#none() {
		this.bar.hidden = true;
		this.table.hidden = true;
		this.said.hidden = false;
		setText(this.said, "This desk has no options.");
	}

	/** Write what was found last. */
	draw() {
		const { found } = this;
		if (found === null) return;
		const expiries = found.expiries.map((each) => each.expiry);
		this.#choices(this.expiry, expiries.map((each) => [each, dayOf(each)]), this.expiry.value);
		const shown = found.expiries.find((each) => each.expiry === this.expiry.value);
		if (shown === undefined) {
			this.#none();
			return;
		}
		setText(this.told, `${found.underlying} at ${priceOf(found.underlying_price)}; ${shown.t_days.toFixed(2)} days to ${fullTime(shown.expiry)}; `
			+ `as of ${fullTime(found.time)}`);
		this.said.hidden = true;
		this.bar.hidden = false;
		this.table.hidden = false;
		const strikes = new Set(shown.rows.map((each) => each.strike));
		for (const [strike, row] of this.rows) {
			if (strikes.has(strike)) continue;
			row.remove();
			this.rows.delete(strike);
		}
		const price = Number(found.underlying_price);
		shown.rows.forEach(({ strike, call, put }, index) => {
			const row = this.#row(strike);
			if (this.body.children[index] !== row) this.body.insertBefore(row, this.body.children[index] ?? null);
			const next = Number(shown.rows[index + 1]?.strike ?? Number.POSITIVE_INFINITY);
			row.classList.toggle("at-the-money", Number(strike) <= price && price < next);
			this.#fill(row, "C", call, price > Number(strike));
			this.#fill(row, "P", put, price < Number(strike));
		});
	}

	#choices(select, pairs, value) {
		if (select.dataset.pairs !== JSON.stringify(pairs)) {
			select.replaceChildren(...pairs.map(([each, text]) => make("option", { value: each, text })));
			select.dataset.pairs = JSON.stringify(pairs);
		}
		select.value = pairs.some(([each]) => each === value) ? value : pairs[0]?.[0] ?? "";
	}

	#row(strike) {
		let row = this.rows.get(strike);
		if (row === undefined) {
			const cells = (side) => COLUMNS[side].map(([title, name]) => make("td", { class: `number of-${name}`, "data-head": `${side === "C" ? "call" : "put"} ${title}` }));
			row = make("tr", {}, ...cells("C"), make("th", { class: "strike", scope: "row", text: amount(strike) }), ...cells("P"));
			this.rows.set(strike, row);
		}
		return row;
	}

	#fill(row, side, item, isInTheMoney) {
		const first = side === "C" ? 0 : FIGURES.length + 1;
		COLUMNS[side].forEach(([, name, text], index) => {
			const cell = row.children[first + index];
			const value = name === "position" ? this.held.get(item?.symbol) : item?.[name];
			setText(cell, item ? text(value) : "");
			cell.classList.toggle("in-the-money", isInTheMoney);
			cell.title = !item ? "" : [item.symbol, item.note].filter(Boolean).join(": ");
		});
	}
}
