// The keyboard, and the help that tells its keys.

import { make, openDialog } from "./dom.js";

const KEYS = [
	["b", "buy: the cursor goes to the ticket's quantity"],
	["s", "sell: the same"],
	["o", "order ticket, with the side as it is"],
	["Enter", "in the ticket: to the button that sends; once more sends"],
	["Ctrl Enter", "in the ticket: send"],
	["1 … 9, 0, a", "tabs: orders, fills, positions, P&L, signals, decisions, alerts, limits, strategies, desk, as of"],
	["← →", "on a tab: the next one; ↑ ↓ on a row: the next row; Enter opens it"],
	["[ ]", "the symbol before, the next symbol"],
	["t", "the next length of bars"],
	["/", "filter the records"],
	["Shift H", "halt the account (asks first)"],
	["Esc", "close a dialog, leave a field, let a dragged line go back"],
	["?", "this help"],
];
const TABS = "1234567890a";

/** Tell keys and what the chart's lines do. */
export function showHelp() {
	const list = make("dl", { class: "facts" });
	for (const [key, text] of KEYS) list.append(make("dt", {}, make("kbd", { text: key })), make("dd", { text }));
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

/** Call the actions of keys, unless somebody types. */
export function listenToKeys(actions) {
	document.addEventListener("keydown", (event) => {
		if (!actions.isReady()) return;
		if (event.key === "Escape") {
			if (!actions.escape() && document.querySelector("dialog[open]") === null) document.activeElement?.blur();
			return;
		}
		const isTyping = event.target.matches("input:not([type=checkbox]):not([type=radio]), select, textarea");
		if (isTyping || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
		const action = {
			b: () => actions.side("BUY"), s: () => actions.side("SELL"), o: actions.ticket, t: actions.timeframe,
			"[": () => actions.symbol(-1), "]": () => actions.symbol(1), "/": actions.filter, H: actions.halt, "?": showHelp,
		}[event.key];
		const place = TABS.indexOf(event.key);
		if (action === undefined && (place < 0 || event.key.length !== 1)) return;
		event.preventDefault();
		if (action !== undefined) action();
		else actions.tab(place + 1);
	});
}
