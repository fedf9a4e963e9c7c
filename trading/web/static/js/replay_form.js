// The form that begins a replay: a run, or ticks or bars of symbols, with a strategy or to look at.

import { LONG_MS, command, newKey } from "./api.js";
import { make, setText } from "./dom.js";
import { fieldOf, instantOf, timeOf, zoneLabel } from "./format.js";

const SPAN_MS = 15 * 60_000;
const SYMBOLS_SHOWN = 5;

export const option = (value, text = value) => make("option", { value, text });
export const label = (text, input) => make("label", {}, make("span", { text }), input);

/** Inputs for the parameters of a strategy; `given()` has those that were changed. */
export class ParameterFields {
	constructor() {
		this.element = make("div", { class: "parameters" });
		this.known = {};
	}

	/** Show the parameters of a strategy, as the API describes it; none without one. */
	show(strategy) {
		this.known = strategy?.parameters ?? {};
		this.element.replaceChildren(...Object.entries(this.known).map(([name, value]) => (
			label(name, make("input", { name: `parameter-${name}`, value: textOf(value), autocomplete: "off" })))));
		this.element.hidden = Object.keys(this.known).length === 0;
	}

	/** The parameters that are others than the strategy has by itself. */
	given() {
		const found = {};
		for (const [name, value] of Object.entries(this.known)) {
			const text = this.element.querySelector(`[name="${CSS.escape(`parameter-${name}`)}"]`).value.trim();
			if (text !== textOf(value)) found[name] = typeof value === "string" ? text : valueOf(text);
		}
		return found;
	}
}

const textOf = (value) => (typeof value === "string" ? value : JSON.stringify(value));

/** A number, a list or a truth value; what is none of them stays a text, and the strategy says what it takes. */
function valueOf(text) {
	try {
		return JSON.parse(text);
	} catch {
		return text;
	}
}

/** The form for `sources` of the API; `opened(session)` is called with the session that it began. */
export function replayForm(sources, { symbol: shownSymbol, timeframe: shownTimeframe }, opened) {
	const said = make("p", { class: "problem", role: "alert" });
	const what = make("select", { name: "what" }, ...(sources.runs.length > 0 ? [option("run", "what a run was told")] : []),
		option("ticks", "ticks of symbols"), option("bars", "bars of symbols"));
	const run = make("select", { name: "run" }, ...sources.runs.map((each, index) => option(String(index), `${each.run} of ${each.account}`)));
	const symbols = make("select", { name: "symbol", multiple: true, required: true, size: Math.max(2, Math.min(SYMBOLS_SHOWN, sources.symbols.length)) },
		...sources.symbols.map((each) => option(each.symbol)));
	const [start, end] = ["start", "end"].map((name) => make("input", { type: "datetime-local", step: "1", name, required: true }));
	const timeframe = make("select", { name: "timeframe" }, ...sources.timeframes.map((each) => option(each)));
	const strategy = make("select", { name: "strategy" }, option("", "none: look at prices"), ...sources.strategies.map((each) => option(each.strategy)));
	const cash = make("input", { name: "cash", value: "100000", inputmode: "decimal", required: true });
	const parameters = new ParameterFields();
	const zone = make("p", { class: "muted" });
	const parts = {
		run: label("Run", run), symbol: label("Symbols (Ctrl or ⌘ for several)", symbols), start: label("From", start), end: label("Until", end),
		timeframe: label("Bars", timeframe), strategy: label("Strategy that trades in it", strategy), cash: label("Cash to begin with", cash),
		parameters: parameters.element,
	};
	const chosen = () => [...symbols.selectedOptions].map((each) => each.value);
	const changed = () => {
		const isRun = what.value === "run";
		for (const [name, part] of Object.entries(parts)) part.hidden = isRun !== (name === "run");
		for (const input of [start, end, symbols, cash]) input.disabled = isRun;
		if (isRun) return;
		parts.cash.hidden = strategy.value === "";
		parameters.show(sources.strategies.find((each) => each.strategy === strategy.value));
	};
	const span = () => {
		const wanted = chosen();
		const known = sources.symbols.filter((each) => wanted.includes(each.symbol) && each.last);
		const first = known.map((each) => each.first).sort()[0];
		const last = known.map((each) => each.last).sort().at(-1);
		setText(zone, last ? `Recorded from ${timeOf(first)} to ${timeOf(last)}; times of ${zoneLabel()}.` : `Nothing is recorded; times of ${zoneLabel()}.`);
		if (!last) return;
		end.value = fieldOf(new Date(last));
		start.value = fieldOf(new Date(Math.max(Date.parse(first), Date.parse(last) - SPAN_MS)));
	};
	const preferred = sources.symbols.some((each) => each.symbol === shownSymbol) ? shownSymbol : sources.symbols[0]?.symbol;
	for (const each of symbols.options) each.selected = each.value === preferred;
	if (sources.timeframes.includes(shownTimeframe)) timeframe.value = shownTimeframe;
	symbols.addEventListener("change", span);
	for (const each of [what, strategy]) each.addEventListener("change", changed);
	changed();
	span();
	const wanted = () => {
		if (what.value === "run") {
			const { account, run: name } = sources.runs[Number(run.value)];
			return { account, run: name, speed: 10 };
		}
		return {
			symbols: chosen(), source: what.value, start: instantOf(start.value), end: instantOf(end.value), speed: 10,
			...(what.value === "ticks" ? { timeframes: [timeframe.value] } : { timeframe: timeframe.value }),
			...(strategy.value === "" ? {} : { strategy: strategy.value, parameters: parameters.given(), cash: cash.value.trim() }),
		};
	};
	return make("form", {
		id: "replay-form",
		onsubmit: async (event) => {
			event.preventDefault();
			setText(said, "");
			try {
				opened(await command("POST", "/replay/session/start", wanted(), newKey(), LONG_MS));
			} catch (problem) {
				setText(said, problem.message);
			}
		},
	}, label("What", what), ...Object.values(parts), zone, said,
	make("div", { class: "actions" }, make("button", { type: "submit", class: "primary", text: "Open, paused at its beginning" })));
}
