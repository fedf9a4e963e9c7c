// A run compared with its replay, and with what it would have been: nothing of it is sent or kept.

import { LONG_MS, command, get, newKey } from "./api.js";
import { facts, make, openDialog, setText } from "./dom.js";
import { amount, signed, timeOf } from "./format.js";
import { ParameterFields, label, option } from "./replay_form.js";
import { Table } from "./table.js";
import { words } from "./views.js";

const FILLS = [["", "as they were"], ["tick", "at the next tick"], ["next_open", "at the next bar's open"], ["this_close", "at this bar's close"],
	["next_close", "at the next bar's close"], ["intrabar", "within the next bar"]];
const tone = (value) => (Number(value) > 0 ? "up" : Number(value) < 0 ? "down" : "");
const difference = ({ recorded, changed }) => (recorded.total === null || changed.total === null ? null : Number(changed.total) - Number(recorded.total));

/** An order of one of the two runs in a few words; "–" where that run has not sent it. */
function outcome(order) {
	if (order === null) return "–";
	const at = order.average_price === null ? "" : ` at ${amount(Number(order.average_price).toFixed(4))}`;
	const why = order.refusal === "" ? "" : ` (${words(order.refusal)})`;
	return `${order.side} ${amount(order.quantity)}: ${words(order.status)}${why}${Number(order.filled) > 0 ? `, filled ${amount(order.filled)}${at}` : ""}`;
}

const sideOf = (item) => item.recorded ?? item.changed;
const earnedColumns = [
	{ head: "Symbol", kind: "symbol", text: (item) => item.symbol }, { head: "Strategy", text: (item) => item.strategy || "by hand" },
	{ head: "As it was", kind: "number", text: (item) => signed(item.recorded.total), tone: (item) => tone(item.recorded.total) },
	{ head: "As it would have been", kind: "number", text: (item) => signed(item.changed.total), tone: (item) => tone(item.changed.total) },
	{ head: "Difference", kind: "number", text: (item) => signed(difference(item)), tone: (item) => tone(difference(item)) },
];
const orderColumns = [
	{ head: "Time", kind: "time", text: (item) => timeOf(item.time) }, { head: "Symbol", kind: "symbol", text: (item) => sideOf(item).symbol },
	{ head: "Strategy", text: (item) => sideOf(item).strategy || "by hand" },
	{ head: "As it was", kind: "wide", text: (item) => outcome(item.recorded) },
	{ head: "As it would have been", kind: "wide", text: (item) => outcome(item.changed) },
];

/** Limits of a text such as `max_order_quantity=50, price_collar=0.05`; null for an empty one. */
function limitsOf(text) {
	if (text.trim() === "") return null;
	return Object.fromEntries(text.split(",").map((part) => {
		const [name, ...value] = part.split("=");
		if (value.length === 0) throw new Error(`“${part.trim()}” is no limit; write max_order_quantity=50`);
		return [name.trim(), value.join("=").trim()];
	}));
}

/** Let the user compare a run of `sources` with its replay, or with what it would have been. */
export function openWhatIf(sources) {
	const said = make("p", { class: "problem", role: "alert" });
	const found = make("div", { id: "what-if-found" });
	const run = make("select", { name: "run" }, ...sources.runs.map((each, index) => option(String(index), `${each.run} of ${each.account}`)));
	const strategy = make("select", { name: "strategy" });
	const fill = make("select", { name: "fill_model" }, ...FILLS.map(([value, text]) => option(value, text)));
	const commission = make("input", { name: "commission", placeholder: "as it was, or such as bps 10", autocomplete: "off" });
	const limits = make("input", { name: "limits", placeholder: "as they were, or such as max_order_quantity=50", autocomplete: "off" });
	const parameters = new ParameterFields();
	const chosen = () => sources.runs[Number(run.value)];
	const ofStrategy = label("Strategy", strategy);
	const showParameters = () => parameters.show(chosen().strategies[Number(strategy.value)]);
	const showRun = () => {
		strategy.replaceChildren(...chosen().strategies.map((each, index) => option(String(index), each.strategy)));
		ofStrategy.hidden = chosen().strategies.length === 0;
		showParameters();
	};
	run.addEventListener("change", showRun);
	strategy.addEventListener("change", showParameters);
	showRun();

	const ask = async (question) => {
		setText(said, "");
		found.replaceChildren(make("p", { class: "muted", text: "The journal is folded again…" }));
		form.setAttribute("aria-busy", "true");
		try {
			found.replaceChildren(...await question());
		} catch (problem) {
			found.replaceChildren();
			setText(said, problem.message);
		}
		form.removeAttribute("aria-busy");
	};
	const compare = async () => {
		const { account, run: name, strategies } = chosen();
		const changes = parameters.given();
		const more = Object.keys(changes).length === 0 ? {} : { parameters: changes, strategy: strategies[Number(strategy.value)].strategy };
		const given = limitsOf(limits.value);
		if (given !== null) more.limits = given;
		if (fill.value !== "") more.fill_model = fill.value;
		return compared(await command("POST", "/replay/what-if", { account, run: name, ...more, commission: commission.value.trim() }, newKey(), LONG_MS));
	};
	const verify = async () => {
		const { account, run: name } = chosen();
		const { is_equal: isEqual, groups, text } = await get("/replay/verify", { account, run: name }, LONG_MS);
		return [make("p", { class: isEqual ? "" : "problem", text: isEqual ? `The replay is the same: ${groups} groups lead to the digest of the journal.` : "The replay is another one." }),
			make("pre", { text })];
	};
	const form = make("form", { id: "what-if-form", onsubmit: (event) => {
		event.preventDefault();
		ask(compare);
	} }, label("Run", run), ofStrategy, parameters.element, label("Fills", fill), label("Commission", commission), label("Limits", limits),
	make("p", { class: "muted", text: "Nothing is sent: the run's own prices and commands are folded again with what you change." }), said,
	make("div", { class: "actions" }, make("button", { type: "button", text: "Verify the run as it was", onclick: () => ask(verify) }),
		make("button", { type: "submit", class: "primary", text: "Compare" })));
	openDialog("What would have been different", form, found).classList.add("wide");
}

function compared({ totals, same_orders: same, orders, orders_left_out: left, pnl, notes }) {
	const earned = new Table(earnedColumns, { empty: "Nothing was traded in either.", keyOf: (item) => `${item.account} ${item.strategy} ${item.symbol}` });
	const others = new Table(orderColumns, { empty: "Every order is the same.", keyOf: (item) => sideOf(item).order_id + item.what });
	earned.show(pnl);
	others.show(orders);
	const more = left > 0 ? `, of which the first ${orders.length} are shown` : "";
	return [
		facts([["P&L as it was", signed(totals.recorded)], ["As it would have been", signed(totals.changed)],
			["Orders", `${same} are the same, ${orders.length + left} differ${more}`]]),
		...notes.map((text) => make("p", { class: "muted", text })), earned.element, make("h3", { text: "Orders that differ" }), others.element,
	];
}
