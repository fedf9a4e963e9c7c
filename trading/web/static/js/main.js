// The page: log-in, the socket, and what its parts tell each other.

import * as api from "./api.js";
import { LINES, PriceChart } from "./chart.js";
import { Depth } from "./depth.js";
import { byId, make, notify, openDialog, setText } from "./dom.js";
import { ageText, amount, clock, instantOf, priced, signed, zoneLabel } from "./format.js";
import { listenToKeys } from "./keys.js";
import { Panels } from "./panels.js";
import { applyTheme, localZone, prefer, preferences, zone } from "./preferences.js";
import { Records, isOpen } from "./records.js";
import { DeskSocket } from "./socket.js";
import { Ticket } from "./ticket.js";

const EVENTS = ["orders", "fills", "matches", "positions", "cash", "signals", "decisions", "alerts", "limits", "trading_state"];
const TIMEFRAMES = ["1s", "5s", "15s", "30s", "1m", "5m", "15m", "1h", "1D"];
const STALE_S = 5;
const FULL = 40;
const PLACES = ["UTC", "America/New_York", "America/Chicago", "Europe/London", "Europe/Zurich", "Asia/Tokyo", "Asia/Hong_Kong"];

const records = new Records();
const prices = new Map();
const state = {
	link: "connecting", instruments: new Map(), symbols: [], timeframes: [], age: null, ageAt: 0, trading: new Map(),
	seenAlerts: false, user: "", isCut: false, away: [],
};

const accountNow = () => api.session.accounts.find((each) => each.account === preferences.account) ?? api.session.accounts[0];

/** What the parts of the page may know of the whole. */
const desk = {
	account: () => accountNow()?.account ?? "",
	run: () => accountNow()?.run ?? "",
	base: () => accountNow()?.base ?? "",
	symbol: () => preferences.symbol,
	price: () => prices.get(preferences.symbol)?.price ?? null,
	isConnected: () => state.link === "open",
	mayTrade: () => accountNow()?.role === "trader",
	mayHalt: () => ["trader", "risk"].includes(accountNow()?.role),
	canTrade: () => desk.mayTrade() && preferences.symbol !== "",
	whyNot: () => {
		if (accountNow() === undefined) return "You have no account here.";
		if (!desk.mayTrade()) return `You are ${accountNow().role} of ${desk.account()}: a trader sends orders.`;
		return desk.isConnected() ? "" : "Not connected: orders wait until the connection is back.";
	},
	timeframe: () => preferences.timeframe,
	timeframes: () => state.timeframes,
	instrument: (symbol) => state.instruments.get(symbol),
	symbols: () => state.symbols,
	follow: (topic, listener) => socket.follow(topic, listener),
	unfollow: (topic) => socket.unfollow(topic),
	followValues: (topic, more) => socket.followValues(topic, more),
	/** Takes chains of options while their tab is open. */
	takeOptions: null,
	positions: () => panels.held.positions,
	explain: async (subject, account = desk.account(), run = desk.run()) => {
		(await part(() => import("./explain.js")))?.showWhy(subject, account, run);
	},
	instantOf,
	onEarned: (pnl, positions) => showEarned(pnl, positions),
};

/** A module that is loaded when it is first wanted; without it null, and the user is told. */
async function part(load) {
	try {
		return await load();
	} catch (problem) {
		notify(`This part could not be loaded: ${problem.message}. Load the page again.`, "problem");
		return null;
	}
}

applyTheme();
const chart = new PriceChart(byId("chart"), byId("chart-note"), byId("chart-bar"));
const depth = new Depth((price) => ticket.takePrice(price));
const panels = new Panels(desk, records);
const ticket = new Ticket(desk);
/** The replay's part of the page, once it was opened. */
let replay = null;

const socket = new DeskSocket({
	state: (link, detail) => {
		const wasCut = state.isCut;
		if (link === "lost") {
			state.isCut = true;
			checkSession();
		}
		setLink(link === "connecting" && state.isCut ? "lost" : link, detail);
		if (link !== "open") return;
		state.isCut = false;
		if (wasCut) {
			notify("Connected again: everything that came meanwhile is here.");
			chart.refresh();
			readAccounts();
		}
		panels.poll();
	},
	ended: () => showLogin("The session has ended. Log in to go on where you were."),
	snapshot: (topic, items) => {
		records.replace(topic, items);
		if (topic === "trading_state") for (const item of [...items].reverse()) takeTradingState(item);
	},
	reset: (topic) => records.replace(topic, []),
	event: ({ topic, item }) => {
		records.take(topic, item);
		if (topic === "alerts") panels.alerted(item);
		if (topic === "trading_state") takeTradingState(item);
		if (topic === "fills" && item.account === desk.account() && item.run === desk.run() && item.strategy === "") {
			const live = document.body.dataset.mode === "replay" ? "Live, not of the replay: " : "";
			notify(`${live}Filled: ${item.side} ${item.fill_quantity} ${item.symbol} @ ${item.fill_price}`);
		}
	},
	values: takeValues,
	heartbeat: (message) => {
		state.age = message.market_age_s;
		state.ageAt = Date.now();
		tellFreshness();
	},
	problem: (topic, detail) => notify(`${topic}: ${detail}`, "problem"),
});

// --- logging in ------------------------------------------------------------------------------------

api.onSessionEnd(() => showLogin("The session has ended. Log in to go on where you were."));
let isChecking = false;

/** A lost socket may mean that the session has ended: a restarted server knows no sessions. */
async function checkSession() {
	if (isChecking) return;
	isChecking = true;
	try {
		await api.loadSession();
	} catch {
		// 401 shows the log-in; without an answer the socket tries again.
	} finally {
		isChecking = false;
	}
}

function showLogin(why) {
	socket.close();
	state.isCut = state.user !== "";
	setLink(state.isCut ? "lost" : "connecting", "logged out");
	setText(byId("login-why"), why);
	const login = byId("login");
	if (!login.hidden) return;
	for (const dialog of document.querySelectorAll("dialog")) dialog.close();
	login.hidden = false;
	byId("login-form").elements.user.value = state.user;
	byId("login-form").elements[state.user === "" ? "user" : "password"].focus();
}

byId("login-form").addEventListener("submit", async (event) => {
	event.preventDefault();
	const { user, password } = event.target.elements;
	const button = event.target.querySelector("button");
	button.disabled = true;
	setText(byId("login-problem"), "");
	try {
		await api.logIn(user.value, password.value);
		password.value = "";
		await begin();
	} catch (problem) {
		setText(byId("login-problem"), problem.message);
		password.select();
	}
	button.disabled = false;
});

byId("logout").addEventListener("click", async () => {
	try {
		await api.command("POST", "/user/logout");
	} catch {
		// Without an answer the session ends by its time; the page forgets it now.
	}
	socket.forget();
	records.clear();
	location.reload();
});

async function begin() {
	if (state.user !== "" && state.user !== api.session.user) {
		location.reload(); // Nothing of another user's page stays.
		return;
	}
	state.user = api.session.user;
	setText(byId("user"), state.user);
	byId("login").hidden = true;
	drawAccounts();
	for (const topic of EVENTS) socket.followEvents(topic);
	socket.followValues("desk", {});
	const [instruments] = await Promise.all([api.get("/instruments"), readAccounts()]);
	state.instruments = new Map(instruments.items.map((each) => [each.symbol, each]));
	state.symbols = [...state.instruments.keys()];
	if (state.symbols.length > 0) socket.followValues("prices", { symbols: state.symbols });
	drawSymbols();
	socket.open();
	panels.open(panels.active);
	ticket.changed();
	if (!state.symbols.includes(preferences.symbol)) preferences.symbol = state.symbols[0] ?? "";
	if (state.timeframes.length === 0) await findTimeframes();
	choose(preferences.symbol, preferences.timeframe);
}

function drawAccounts() {
	const option = (each) => make("option", { value: each.account, text: `${each.account} · ${each.role}` });
	byId("account").replaceChildren(...api.session.accounts.map(option));
	byId("account").value = desk.account();
	byId("account").hidden = api.session.accounts.length === 0;
}

/** Ask how the accounts are; while the engine is away they stay as they were. */
async function readAccounts() {
	try {
		const found = await api.get("/accounts");
		for (const each of found.items) state.trading.set(each.account, { state: each.trading_state, why: each.state_reason });
		if (api.session.accounts.length === 0 && found.items.length > 0) {
			// The engine was away when this user logged in.
			api.session.accounts = found.items;
			drawAccounts();
			ticket.changed();
		}
		showTradingState();
	} catch (problem) {
		if (problem.status !== 401) setText(byId("link"), problem.message);
	}
}

/** Find which lengths of bars the desk keeps; the first choice is the longest that fills a chart. */
async function findTimeframes() {
	const symbol = preferences.symbol;
	if (symbol === "") return;
	// Where an instrument does not say which are kept, the usual ones are tried.
	const kept = state.instruments.get(symbol)?.timeframes ?? TIMEFRAMES;
	const counts = await Promise.all(kept.map(async (timeframe) => {
		try {
			return (await api.get("/bars", { symbol, timeframe, limit: FULL })).items.length;
		} catch {
			return 0;
		}
	}));
	state.timeframes = kept.filter((_, index) => counts[index] > 0);
	if (state.timeframes.length === 0) state.timeframes = ["1m"];
	if (!state.timeframes.includes(preferences.timeframe)) {
		preferences.timeframe = kept[counts.findLastIndex((count) => count === FULL)] ?? state.timeframes[0];
	}
	byId("timeframes").replaceChildren(...state.timeframes.map((each) => make("button", {
		type: "button", text: each, "data-timeframe": each, onclick: () => choose(preferences.symbol, each),
	})));
}

// --- the chosen symbol -----------------------------------------------------------------------------

function choose(symbol, timeframe) {
	if (symbol === "") return;
	const before = chart.symbol;
	prefer("symbol", symbol);
	prefer("timeframe", timeframe);
	setText(byId("chart-symbol"), symbol);
	for (const button of byId("symbols").children) button.setAttribute("aria-pressed", button.dataset.symbol === symbol);
	for (const button of byId("timeframes").children) button.setAttribute("aria-pressed", button.dataset.timeframe === timeframe);
	socket.followValues("depth", { symbols: [symbol] });
	socket.followValues("bars", { symbols: [symbol], timeframe });
	if (symbol !== before) depth.clear(state.instruments.get(symbol)?.price_increment);
	if (symbol !== before && before !== "") ticket.clear();
	chart.load(symbol, timeframe, state.instruments.get(symbol));
	showTrades();
	if (panels.onlySymbol) panels.draw();
}

function drawSymbols() {
	const buttons = state.symbols.map((symbol) => {
		const price = make("b", { class: "live", text: "–" });
		const button = make("button", { type: "button", "data-symbol": symbol, onclick: () => choose(symbol, preferences.timeframe) },
			make("span", { text: symbol }), price);
		button.setAttribute("aria-pressed", symbol === preferences.symbol);
		return button;
	});
	byId("symbols").replaceChildren(...buttons);
}

function showTrades() {
	const here = (item) => item.account === desk.account() && item.run === desk.run() && item.symbol === preferences.symbol;
	const orders = records.of("orders", here).map((order) => ({ ...order, isOpen: isOpen(order) }));
	chart.showTrades(orders, records.of("fills", (fill) => here(fill) && fill.status === "BOOKED"), desk.mayTrade());
}

records.onChange((topics) => {
	if (topics.has("orders") || topics.has("fills")) showTrades();
	if (topics.has("fills") || topics.has("positions")) ticket.judgeAgain();
});

// --- values ----------------------------------------------------------------------------------------

const dirty = new Set();
let isWaiting = false;

function takeValues(items) {
	for (const item of items) {
		if (item.type === "price") {
			const before = prices.get(item.symbol)?.price;
			prices.set(item.symbol, { ...item, isUp: Number(item.price) >= Number(before ?? item.price) });
			dirty.add(item.symbol);
		} else if (item.type === "bar") {
			chart.takeBar(item.data);
		} else if (item.type === "depth" && item.instrument_id === preferences.symbol) {
			state.book = item;
		} else if (item.type === "options") {
			desk.takeOptions?.(item);
		} else if (item.type === "desk") {
			panels.takeState(item.data);
			state.away = item.data.processes.filter((each) => each.state !== "RUNNING").map((each) => `${each.name} is ${each.state.toLowerCase()}`);
			tellFreshness();
			if (api.session.accounts.length === 0 && state.away.length === 0) readAccounts();
		}
	}
	if (isWaiting) return;
	isWaiting = true;
	requestAnimationFrame(() => {
		isWaiting = false;
		drawPrices();
		if (state.book !== undefined) depth.show(state.book);
		state.book = undefined;
	});
}

function drawPrices() {
	for (const button of byId("symbols").children) {
		if (!dirty.has(button.dataset.symbol)) continue;
		const { price, isUp } = prices.get(button.dataset.symbol);
		const shown = button.lastElementChild;
		setText(shown, priced(price, state.instruments.get(button.dataset.symbol)?.price_increment ?? "1"));
		shown.classList.toggle("up", isUp);
		shown.classList.toggle("down", !isUp);
	}
	dirty.clear();
}

function showEarned(pnl, positions) {
	setText(byId("equity"), pnl === null ? "–" : `${amount(pnl.equity, 2)} ${desk.base()}`);
	setText(byId("net"), pnl === null ? "–" : signed(pnl.net_amount));
	byId("net").className = Number(pnl?.net_amount ?? 0) < 0 ? "down" : "up";
	byId("net").dataset.positions = positions.length;
}

function takeTradingState(item) {
	if (item.run !== api.session.accounts.find((each) => each.account === item.account)?.run) return;
	state.trading.set(item.account, { state: item.trading_state, why: item.state_reason });
	showTradingState();
}

function showTradingState() {
	const found = state.trading.get(desk.account());
	const button = byId("trading-state");
	button.hidden = found === undefined;
	if (found === undefined) return;
	setText(button, found.state);
	button.dataset.state = found.state;
	button.title = found.why === "" ? "Trading state of the account" : `${found.state}: ${found.why}`;
}

byId("trading-state").addEventListener("click", () => {
	const found = state.trading.get(desk.account());
	const choices = [["ACTIVE", "Trade"], ["REDUCING", "Only reduce positions"], ["HALTED", "Halt: no orders, all canceled"]];
	const actions = choices.filter(([name]) => name !== found.state && desk.mayHalt()).map(([name, text]) => make("button", {
		type: "button", class: name === "HALTED" ? "danger" : "", text,
		onclick: () => {
			dialog.close();
			panels.setState(name);
		},
	}));
	const told = found.why === "" ? `${desk.account()} is ${found.state}.` : `${desk.account()} is ${found.state}: ${found.why}`;
	const note = desk.mayHalt() ? [] : [make("p", { class: "muted", text: "Your role does not change it." })];
	const dialog = openDialog("Trading state", make("form", {}, make("p", { text: told }), ...note, ...actions));
});

// --- connection and freshness ----------------------------------------------------------------------

function setLink(link, detail) {
	state.link = link;
	document.body.dataset.link = link;
	setText(byId("link"), { open: "live", lost: "connection lost", connecting: "connecting…" }[link]);
	byId("link").title = detail;
	if (link === "lost" && state.lostAt === undefined) state.lostAt = Date.now();
	if (link === "open") {
		state.lostAt = undefined;
		state.openedAt = Date.now();
	}
	ticket.refresh();
	tellFreshness();
}

function tellFreshness() {
	const banner = byId("banner");
	let text = "";
	let isStale = false;
	if (state.link === "lost") {
		const since = ageText((Date.now() - (state.lostAt ?? Date.now())) / 1000);
		text = `Connection lost ${since} ago: what you see is not current. It is tried again.`;
		isStale = true;
	} else if (state.link === "open") {
		// A server that was started while the market hangs has no tick at all.
		const age = (state.age ?? 0) + (Date.now() - (state.age === null ? state.openedAt : state.ageAt)) / 1000;
		isStale = age > STALE_S;
		const newest = state.age === null ? `none has come for ${ageText(age)}` : `the newest tick is ${ageText(age)} old`;
		if (isStale) text = `Prices are stale: ${newest}.`;
	}
	if (text === "" && state.away.length > 0) text = `${state.away.join(", ")}.`;
	document.body.dataset.fresh = isStale ? "stale" : "fresh";
	banner.hidden = text === "";
	setText(banner, text);
}

setInterval(() => {
	setText(byId("clock"), clock());
	tellFreshness();
}, 500);

// --- controls --------------------------------------------------------------------------------------

function drawZones() {
	const select = byId("zone");
	const own = localZone();
	const others = (Intl.supportedValuesOf?.("timeZone") ?? []).filter((name) => !PLACES.includes(name));
	const option = (name) => make("option", { value: name, text: zoneLabel(name) });
	select.replaceChildren(
		make("option", { value: "", text: `here: ${zoneLabel(own)}` }), ...PLACES.map(option),
		make("optgroup", { label: "all zones" }, ...others.map((name) => make("option", { value: name, text: name.replaceAll("_", " ") }))),
	);
	select.value = preferences.zone;
}

function look() {
	chart.applyLook();
	replay?.look();
}

function setZone(name) {
	prefer("zone", name);
	setText(byId("chart-zone"), zoneLabel(zone()));
	setText(byId("clock"), clock());
	look();
	panels.draw(true);
}

byId("zone").addEventListener("change", (event) => setZone(event.target.value));
byId("theme").addEventListener("change", (event) => {
	prefer("theme", event.target.value);
	applyTheme();
	look();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
	applyTheme();
	look();
});
byId("account").addEventListener("change", (event) => {
	prefer("account", event.target.value);
	showTradingState();
	showEarned(null, []);
	panels.held.positions = [];
	panels.open(panels.active);
	ticket.changed();
	showTrades();
});
byId("marks").value = preferences.marks;
byId("marks").addEventListener("change", (event) => {
	prefer("marks", event.target.value);
	showTrades();
});
byId("lines").append(...Object.entries(LINES).map(([name, { title }]) => {
	const button = make("button", { type: "button", text: title });
	button.setAttribute("aria-pressed", chart.lines.has(name));
	button.addEventListener("click", () => {
		chart.showLine(name, !chart.lines.has(name));
		button.setAttribute("aria-pressed", chart.lines.has(name));
	});
	return button;
}));
byId("fit").setAttribute("aria-pressed", preferences.fit);
byId("fit").addEventListener("click", () => {
	prefer("fit", !preferences.fit);
	byId("fit").setAttribute("aria-pressed", preferences.fit);
	chart.applyLook();
});
byId("only-open").addEventListener("change", (event) => {
	panels.onlyOpen = event.target.checked;
	panels.draw();
});
byId("only-symbol").addEventListener("change", (event) => {
	panels.onlySymbol = event.target.checked;
	panels.draw();
});
byId("filter").addEventListener("input", (event) => {
	panels.filter = event.target.value.trim().toLowerCase();
	panels.draw();
});
byId("cancel-all").addEventListener("click", () => panels.cancelAll());
byId("flatten").addEventListener("click", () => panels.flatten());
const help = async () => (await part(() => import("./help.js")))?.showHelp();
byId("help-button").addEventListener("click", help);
function showView(name) {
	document.body.dataset.view = name;
}

/** Let the user choose what to replay. */
async function openReplay() {
	if (api.session.accounts.length === 0 && state.symbols.length === 0) return;
	replay ??= (await part(() => import("./replay.js")))?.replayOf(desk) ?? null;
	replay?.choose();
}
byId("replay-button").addEventListener("click", openReplay);
for (const button of byId("views").children) button.addEventListener("click", () => showView(button.dataset.view));

const step = (list, now, by) => list[(list.indexOf(now) + by + list.length) % list.length];
listenToKeys({
	side: (side) => {
		showView("trade");
		ticket.setSide(side);
		ticket.focus();
	},
	ticket: () => {
		showView("trade");
		ticket.focus();
	},
	tab: (place) => {
		showView("records");
		panels.openAt(place);
	},
	symbol: (by) => state.symbols.length > 0 && choose(step(state.symbols, preferences.symbol, by), preferences.timeframe),
	timeframe: () => state.timeframes.length > 0 && choose(preferences.symbol, step(state.timeframes, preferences.timeframe, 1)),
	filter: () => {
		showView("records");
		byId("filter").focus();
	},
	halt: () => desk.mayHalt() && panels.setState("HALTED"),
	help,
	replay: openReplay,
	replaying: (key) => replay?.actionOf(key),
	escape: () => chart.cancelDrag(),
	isReady: () => byId("login").hidden,
});

byId("theme").value = preferences.theme;
drawZones();
setZone(preferences.zone);
setLink("connecting", "");
try {
	await api.loadSession();
	await begin();
} catch (problem) {
	showLogin(problem.status === 401 ? "" : problem.message);
}
