// What each tab shows: its columns, and where its rows come from.

import { amount, fullTime, signed, timeOf } from "./format.js";
import { isOpen } from "./records.js";

const STATUS_TONE = {
	FILLED: "up", ACCEPTED: "accent", PARTIALLY_FILLED: "accent", TRIGGERED: "accent", DENIED: "down",
	REJECTED: "down", CANCELED: "muted", EXPIRED: "muted",
};

export const words = (text) => String(text ?? "").replaceAll("_", " ").toLowerCase();
const toneOf = (text) => (Number(text) > 0 ? "up" : Number(text) < 0 ? "down" : "");

const time = { head: "Time", kind: "time", text: (item) => timeOf(item.timestamp) };
const symbol = { head: "Symbol", kind: "symbol", text: (item) => item.symbol };
const strategy = { head: "Strategy", text: (item) => item.strategy || "by hand" };
const side = {
	head: "Side", text: (item) => item.side, tone: (item) => (item.side === "BUY" ? "up" : "down"),
};
const number = (head, name) => ({ head, kind: "number", text: (item) => amount(item[name]) });
const money = (head, name) => ({
	head, kind: "number", text: (item) => signed(item[name]), tone: (item) => toneOf(item[name]),
});

export const orderColumns = (actions) => [
	time, symbol, side,
	{ head: "Kind", text: (item) => [words(item.order_kind), words(item.group_role)].filter(Boolean).join(" · ") },
	{
		head: "Filled", kind: "number",
		text: (item) => `${amount(item.filled_quantity)} / ${amount(item.order_quantity)}`,
	},
	number("Limit", "limit_price"), number("Stop", "stop_price"),
	{ head: "Status", text: (item) => words(item.status), tone: (item) => STATUS_TONE[item.status] ?? "" },
	strategy,
	{ head: "Detail", kind: "wide", text: (item) => item.order_detail || item.order_tag },
	{
		head: "", kind: "actions",
		fill: (cell, item) => {
			const state = isOpen(item) ? "open" : "done";
			if (cell.dataset.state === state) return;
			cell.dataset.state = state;
			cell.replaceChildren(...(state === "open" ? actions(cell) : []));
		},
	},
];

export const fillColumns = [
	{ head: "Time", kind: "time", text: (item) => timeOf(item.executed_at ?? item.timestamp) },
	symbol, side, number("Quantity", "fill_quantity"), number("Price", "fill_price"), number("Fee", "fee_amount"),
	{ head: "Liquidity", text: (item) => (item.is_maker ? "maker" : "taker") }, strategy,
	{ head: "Order", kind: "id", text: (item) => item.order_id },
	{
		head: "Note", kind: "wide",
		text: (item) => [item.status === "BOOKED" ? "" : words(item.status), words(item.fill_note)].filter(Boolean).join(", "),
	},
];

export const positionColumns = [
	symbol, strategy,
	{
		head: "Quantity", kind: "number", text: (item) => amount(item.net_quantity),
		tone: (item) => toneOf(item.net_quantity),
	},
	number("Cost", "cost_amount"), number("Last", "last_price"), number("Value", "value_amount"),
	money("Unrealized", "unrealized_amount"), money("Realized", "realized_amount"), number("Fees", "fee_amount"),
	{ head: "Since", kind: "time", text: (item) => timeOf(item.timestamp) },
];

export const matchColumns = [
	time, symbol, { head: "Direction", text: (item) => words(item.direction) }, number("Quantity", "match_quantity"),
	number("Opened for", "open_amount"), number("Closed for", "close_amount"),
	money("Realized", "realized_amount"), strategy,
	{ head: "Closed by", kind: "id", text: (item) => item.close_order_id },
];

export const signalColumns = [
	time, symbol,
	{
		head: "Action", text: (item) => item.signal_action,
		tone: (item) => ({ BUY: "up", SELL: "down" })[item.signal_action] ?? "",
	},
	number("Quantity", "hint_quantity"),
	{ head: "Confidence", kind: "number", text: (item) => `${Math.round(item.confidence * 100)} %` },
	strategy, { head: "Reason", kind: "wide", text: (item) => item.signal_reason },
];

export const decisionColumns = [
	time, { head: "By", text: (item) => words(item.decision_kind) },
	{
		head: "Decision", text: (item) => words(item.decision_code),
		tone: (item) => (["OK", "MADE", "POSITION_ARRIVED"].includes(item.decision_code) ? "" : "warn"),
	},
	number("Quantity", "decided_quantity"),
	{
		head: "Why", kind: "wide",
		text: (item) => [
			item.limit_text, item.seen_text && `seen ${item.seen_text}`, item.allowed_text && `allowed ${item.allowed_text}`,
			item.decision_detail,
		].filter(Boolean).join("; "),
	},
	{ head: "About", kind: "id", text: (item) => item.order_id || item.subject_id },
];

export const alertColumns = [
	time, { head: "Alert", text: (item) => words(item.alert_code), tone: () => "warn" },
	{ head: "Message", kind: "wide", text: (item) => item.alert_message },
	{ head: "About", kind: "id", text: (item) => item.subject_id },
];

export const strategyColumns = [
	{ head: "Strategy", text: (item) => item.strategy }, { head: "Version", text: (item) => item.version },
	{ head: "Symbols", text: (item) => (item.symbols ?? []).join(" ") },
	{ head: "Bars", text: (item) => (item.timeframes ?? []).join(" ") },
	{
		head: "Parameters", kind: "wide",
		text: (item) => Object.entries(item.parameters ?? {}).map(([name, value]) => `${name} ${JSON.stringify(value)}`).join(", "),
	},
	{ head: "Parameters' hash", kind: "id", text: (item) => item.parameters_hash },
];

export const pickerColumns = [
	{ head: "Account", text: (item) => item.account },
	{ head: "Places", kind: "number", text: (item) => `${item.open.length} of ${item.max_open_positions} taken` },
	{ head: "Open", text: (item) => item.open.join(" ") },
	{
		head: "Reserved", kind: "wide",
		text: (item) => Object.entries(item.reserved).map(([name, size]) => `${name} ${size}`).join(", "),
	},
];

export const processColumns = [
	{ head: "Process", text: (item) => item.name },
	{ head: "State", text: (item) => words(item.state), tone: (item) => (item.state === "RUNNING" ? "up" : "warn") },
	{ head: "Since", kind: "time", text: (item) => timeOf(item.since * 1000) },
	{ head: "Started again", kind: "number", text: (item) => `${item.restarts}×` },
	{ head: "Last exit", text: (item) => (item.last_exit === null ? "" : String(item.last_exit)) },
];

/** What "why?" asks about, by the title of a record's details; "" where nothing can be asked. */
export function subjectOf(title, item) {
	return {
		Fills: item.fill_id, Signals: item.signal_id, Decisions: item.order_id || item.subject_id,
		"Closed piece": `${item.close_fill_id}:${item.open_fill_id}`, Position: `pnl:${item.strategy}:${item.symbol}`,
	}[title] ?? "";
}

/** The facts of a record, all of them, as pairs of texts. */
export function factsOf(item) {
	return Object.entries(item)
		.filter(([name, value]) => value !== null && value !== "" && !["id", "history", "isOpen"].includes(name))
		.map(([name, value]) => [
			words(name), name === "timestamp" || name.endsWith("_at") ? fullTime(value)
				: typeof value === "object" ? JSON.stringify(value) : String(value),
		]);
}

export const historyColumns = [
	{ head: "Time", kind: "time", text: (item) => fullTime(item.timestamp) },
	{ head: "Event", text: (item) => item.order_steps.split(" ").map(words).join(", ") }, { head: "Status", text: (item) => words(item.status) },
	number("Filled", "filled_quantity"), number("Limit", "limit_price"), number("Stop", "stop_price"),
	{ head: "Detail", kind: "wide", text: (item) => item.order_detail },
];
