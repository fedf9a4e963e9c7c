// The order book: sizes by price, with a bar behind each; a click takes the price into the ticket.

import { byId, make, setText } from "./dom.js";
import { amount, priced, rounded } from "./format.js";

const LEVELS = 8;

/** The book of the chosen symbol; `onPrice(price)` is called with the price of a clicked level. */
export class Depth {
	constructor(onPrice) {
		this.rows = { sell: [], buy: [] };
		const body = byId("depth-levels");
		for (const side of ["sell", "buy"]) {
			for (let level = 0; level < LEVELS; level += 1) {
				const bar = make("span", { class: "depth-bar" });
				const price = make("span", { class: "price" });
				const size = make("span", { class: "size" });
				const count = make("span", { class: "orders" });
				const row = make("button", { type: "button", class: `level ${side}`, tabindex: "-1" }, bar, price, size, count);
				row.addEventListener("click", () => row.dataset.price && onPrice(row.dataset.price));
				this.rows[side].push({ row, bar, price, size, count });
			}
			const rows = this.rows[side].map((each) => each.row);
			body.append(...(side === "sell" ? rows.reverse() : rows));
			if (side === "sell") body.append(make("div", { id: "depth-spread" }));
		}
		this.clear();
	}

	/** Show nothing until the first book of another symbol comes. */
	clear(increment = "0.01") {
		this.increment = increment;
		this.show({ buy_levels: [], sell_levels: [] });
	}

	/** Show a book of the socket. */
	show(book) {
		const levels = { sell: book.sell_levels, buy: book.buy_levels };
		const sizes = [...levels.sell.slice(0, LEVELS), ...levels.buy.slice(0, LEVELS)].map((each) => Number(each.quantity));
		const most = Math.max(1e-12, ...sizes);
		for (const side of ["sell", "buy"]) {
			this.rows[side].forEach(({ row, bar, price, size, count }, index) => {
				const level = levels[side][index];
				row.hidden = level === undefined;
				if (level === undefined) return;
				row.dataset.price = level.price;
				setText(price, priced(level.price, this.increment));
				setText(size, amount(level.quantity));
				setText(count, level.orders);
				bar.style.width = `${(100 * Number(level.quantity)) / most}%`;
			});
		}
		const [ask, bid] = [levels.sell[0]?.price, levels.buy[0]?.price];
		const spread = ask !== undefined && bid !== undefined ? Number(ask) - Number(bid) : null;
		setText(byId("depth-spread"), spread === null ? "no book" : `spread ${amount(rounded(spread, this.increment))}`);
	}
}
