// A table of records: rows stay the same elements while their records change.

import { make, setText } from "./dom.js";

const ROWS = 300;

/**
 * A table; each of `columns` has `head`, and `text(item)` or `fill(cell, item)`, and may have `kind`
 * (number, time, wide, actions) and `tone(item)` (up, down, warn, muted).
 */
export class Table {
	constructor(columns, { empty, onOpen = null, keyOf = (item) => item.id }) {
		this.columns = columns;
		this.keyOf = keyOf;
		this.onOpen = onOpen;
		this.rows = new Map();
		this.waiting = null;
		this.body = make("tbody");
		const heads = columns.map((column) => make("th", { class: column.kind ?? "", text: column.head }));
		this.note = make("p", { class: "empty", text: empty });
		this.table = make("table", {}, make("thead", {}, make("tr", {}, ...heads)), this.body);
		this.element = make("div", { class: "table" }, this.table, this.note);
		// Rows do not move under a pointer that is about to press a button.
		this.table.addEventListener("pointerleave", () => this.#catchUp());
		this.body.addEventListener("click", (event) => {
			if (event.target.closest("button, a, input") || getSelection()?.toString()) return;
			const row = event.target.closest("tr");
			if (row !== null) this.onOpen?.(row.item);
		});
		this.body.addEventListener("keydown", (event) => {
			const row = event.target.closest("tr");
			if (event.key === "Enter" && event.target === row) this.onOpen?.(row.item);
			const next = { ArrowDown: row?.nextElementSibling, ArrowUp: row?.previousElementSibling }[event.key];
			if (next) {
				event.preventDefault();
				next.focus();
			}
		});
	}

	#catchUp() {
		if (this.waiting !== null) this.show(this.waiting);
	}

	/** Show items in this order; under a resting pointer only the rows that are there change, by `known`. */
	show(items, known = items) {
		const shown = items.slice(0, ROWS);
		const isHeld = matchMedia("(hover: hover)").matches && this.body.matches(":hover") && this.rows.size > 0;
		const keys = new Set(shown.map(this.keyOf));
		const isSame = keys.size === this.rows.size && [...keys].every((key) => this.rows.has(key));
		this.waiting = isHeld && !isSame ? items : null;
		if (isHeld) {
			for (const item of known) {
				const row = this.rows.get(this.keyOf(item));
				if (row !== undefined) this.#fill(row, item);
			}
			return;
		}
		for (const [key, row] of this.rows) {
			if (!keys.has(key)) {
				row.remove();
				this.rows.delete(key);
			}
		}
		let place = this.body.firstElementChild;
		for (const item of shown) {
			const key = this.keyOf(item);
			let row = this.rows.get(key);
			if (row === undefined) {
				row = this.#rowOf();
				this.rows.set(key, row);
			}
			this.#fill(row, item);
			if (row === place) place = place.nextElementSibling;
			else this.body.insertBefore(row, place);
		}
		this.note.hidden = this.rows.size > 0;
		this.table.hidden = this.rows.size === 0;
	}

	#rowOf() {
		const cells = this.columns.map((column) => {
			const cell = make("td", { class: column.kind ?? "" });
			cell.dataset.head = column.head;
			return cell;
		});
		return make("tr", this.onOpen === null ? {} : { tabindex: "0" }, ...cells);
	}

	#fill(row, item) {
		row.item = item;
		this.columns.forEach((column, index) => {
			const cell = row.children[index];
			if (column.fill !== undefined) column.fill(cell, item);
			else {
				const text = column.text(item);
				setText(cell, text ?? "–");
				cell.classList.toggle("none", text === "" || text === null || text === undefined || text === "–");
			}
			if (column.tone !== undefined) cell.className = `${column.kind ?? ""} ${column.tone(item)}`;
		});
	}

	/** Write all cells again, as after a change of the zone. */
	redraw() {
		for (const row of this.rows.values()) this.#fill(row, row.item);
	}
}
