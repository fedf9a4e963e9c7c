// The keyboard.

const TABS = "1234567890ac";

/** Call the actions of keys, unless somebody types. */
export function listenToKeys(actions) {
	document.addEventListener("keydown", (event) => {
		if (!actions.isReady()) return;
		if (event.key === "Escape") {
			if (!actions.escape() && document.querySelector("dialog[open]") === null) document.activeElement?.blur();
			return;
		}
		const isTyping = event.target.matches("input:not([type=checkbox]):not([type=radio]):not([type=range]), select, textarea");
		if (isTyping || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
		const action = actions.replaying(event.key) ?? {
			b: () => actions.side("BUY"), s: () => actions.side("SELL"), o: actions.ticket, t: actions.timeframe,
			"[": () => actions.symbol(-1), "]": () => actions.symbol(1), "/": actions.filter, H: actions.halt, r: actions.replay, "?": actions.help,
		}[event.key];
		const place = TABS.indexOf(event.key);
		if (action === undefined && (place < 0 || event.key.length !== 1)) return;
		event.preventDefault();
		if (action !== undefined) action();
		else actions.tab(place + 1);
	});
}
