// The help: keys, and what the page's parts do.

import { facts, make, openDialog } from "./dom.js";

const KEYS = [
	["b", "buy: the cursor goes to the ticket's quantity"],
	["s", "sell: the same"],
	["o", "order ticket, with the side as it is"],
	["Enter", "in the ticket: to the button that sends; once more sends"],
	["Ctrl Enter", "in the ticket: send"],
	["1 … 9, 0, a, c", "tabs: orders, fills, positions, P&L, signals, decisions, alerts, limits, strategies, desk, as of, options"],
	["← →", "on a tab: the next one; ↑ ↓ on a row: the next row; Enter opens it"],
	["[ ]", "the symbol before, the next symbol"],
	["t", "the next length of bars"],
	["/", "filter the records"],
	["Shift H", "halt the account (asks first)"],
	["Esc", "close a dialog, leave a field, let a dragged line go back"],
	["r, l", "replay a recording on a chart; back to live"],
	["p, .", "in a replay: play or pause, the next bar"],
	["?", "this help"],
];

/** Tell keys and what the chart's lines do. */
export function showHelp() {
	const list = facts(KEYS.map(([key, text]) => [make("kbd", { text: key }), text]));
	const more = [
		"Drag the line of a working order, such as a bracket's target or stop, to change its price.",
		"A click on a price of the book takes it into the ticket. A click on a record shows all of it.",
		"While the pointer rests on a table, its rows do not move.",
	];
	const notes = make("div", { class: "links" }, ...more.map((text) => make("p", { text })));
	const link = make("a", { href: "openapi.json", target: "_blank", rel: "noopener", text: "the API's description" });
	notes.append(make("p", {}, "Programs: ", link));
	openDialog("Keys and help", list, notes);
}
