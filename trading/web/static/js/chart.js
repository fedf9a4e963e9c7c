// The chart: candles, volume, indicators, marks of fills, and lines of orders that can be dragged.

import {
	CandlestickSeries, HistogramSeries, LineSeries, createChart, createSeriesMarkers,
} from "../vendor/lightweight-charts.mjs";
import { command, get, pathOfOrder } from "./api.js";
import { notify, setText } from "./dom.js";
import { ageText, amount, chartTime, decimalsOf, rounded, tickMark } from "./format.js";
import { ema, rsi, sma } from "./indicators.js";
import { colour, prefer, preferences } from "./preferences.js";

const BARS = 1000;
const DRAW_MS = 66;
const GAPS = 6;
const SLOTS = 240;
const ANSWER_MS = 2000;
const FIT = 0.25;

/** Lines that can be chosen: what they are computed from, and the pane that they are in. */
export const LINES = {
	ema: { title: "EMA 20", pane: 0, colour: "line-1", of: (closes) => ema(closes, 20) },
	sma: { title: "SMA 50", pane: 0, colour: "line-2", of: (closes) => sma(closes, 50) },
	rsi: { title: "RSI 14", pane: 2, colour: "line-3", of: (closes) => rsi(closes, 14) },
};

const seconds = (text) => Math.floor(Date.parse(text) / 1000);

function barOf(data) {
	return {
		time: seconds(data.start), end: seconds(data.end), open: Number(data.open), high: Number(data.high),
		low: Number(data.low), close: Number(data.close), volume: Number(data.volume ?? 0),
		working: data.state === "working",
	};
}

const isWhole = (data) => data.open !== null && data.close !== null && data.high !== null && data.low !== null;

/** The chart of one symbol at one timeframe. */
export class PriceChart {
	/** `note` says what is missing, `told` the bar under the pointer. */
	constructor(container, note, told) {
		this.container = container;
		this.note = note;
		this.told = told;
		this.symbol = "";
		this.timeframe = "";
		this.increment = "0.01";
		this.bars = [];
		this.breaks = [];
		this.orders = [];
		this.fills = [];
		this.lines = new Map();
		this.orderLines = new Map();
		this.drag = null;
		this.loading = 0;
		this.timer = 0;
		this.touched = new Set();
		this.canMove = false;
		this.asksCalendar = true;
		this.chart = createChart(container, { autoSize: true, layout: { attributionLogo: false } });
		this.candles = this.chart.addSeries(CandlestickSeries, {}, 0);
		this.volume = this.chart.addSeries(
			HistogramSeries, { priceFormat: { type: "volume" }, priceLineVisible: false, lastValueVisible: false }, 1,
		);
		this.candles.applyOptions({ autoscaleInfoProvider: (original) => this.#withLines(original()) });
		this.marks = createSeriesMarkers(this.candles, []);
		this.applyLook();
		this.chart.panes()[0].setStretchFactor(5);
		this.chart.panes()[1].setStretchFactor(1);
		this.chart.subscribeCrosshairMove((at) => this.#tellBar(at));
		for (const name of preferences.lines) this.showLine(name, true);
		this.#listenToPointers();
	}

	/** Take colours and the zone from the page. */
	applyLook() {
		const [up, down] = [colour("up"), colour("down")];
		this.chart.applyOptions({
			layout: {
				background: { color: colour("panel") }, textColor: colour("muted"), attributionLogo: false,
				panes: { separatorColor: colour("edge"), separatorHoverColor: colour("edge") },
			},
			grid: { vertLines: { color: colour("grid") }, horzLines: { color: colour("grid") } },
			crosshair: { mode: 0 },
			rightPriceScale: { borderColor: colour("edge") },
			localization: { timeFormatter: chartTime },
			timeScale: {
				borderColor: colour("edge"), timeVisible: true, secondsVisible: true, rightOffset: 6,
				tickMarkFormatter: tickMark,
			},
		});
		this.candles.applyOptions({
			upColor: up, downColor: down, wickUpColor: up, wickDownColor: down, borderVisible: false,
		});
		for (const [name, line] of this.lines) line.applyOptions({ color: colour(LINES[name].colour) });
		this.#drawAll();
		this.#drawOrders(true);
	}

	/** Show or hide an indicator. */
	showLine(name, shown) {
		const known = this.lines.get(name);
		if (!shown && known !== undefined) {
			this.chart.removeSeries(known);
			this.lines.delete(name);
		} else if (shown && known === undefined && LINES[name] !== undefined) {
			const { title, pane } = LINES[name];
			const options = {
				title, color: colour(LINES[name].colour), lineWidth: 1, priceLineVisible: false,
				crosshairMarkerVisible: false,
			};
			const line = this.chart.addSeries(LineSeries, options, pane);
			this.chart.panes()[pane]?.setStretchFactor(pane === 0 ? 5 : 1.2);
			this.lines.set(name, line);
			line.setData(this.#points(name));
		}
		prefer("lines", [...this.lines.keys()]);
	}

	#begin(symbol, timeframe, instrument) {
		this.loading += 1;
		this.cancelDrag();
		this.symbol = symbol;
		this.timeframe = timeframe;
		this.increment = instrument?.price_increment ?? "0.01";
		const precision = decimalsOf(this.increment);
		const priceFormat = { type: "price", precision, minMove: Number(this.increment) || 0.01 };
		this.candles.applyOptions({ priceFormat });
		for (const [name, line] of this.lines) if (LINES[name].pane === 0) line.applyOptions({ priceFormat });
		this.bars = [];
		this.breaks = [];
		this.touched.clear();
		return this.loading;
	}

	#fill(items) {
		const live = this.bars;
		this.bars = items.filter(isWhole).map(barOf);
		for (const bar of live) this.#put(bar);
		const empty = `no bars of ${this.symbol} at ${this.timeframe} yet`;
		setText(this.note, this.bars.length === 0 ? empty : "");
		this.#drawAll();
		if (this.bars.length === 0) return;
		this.chart.timeScale().setVisibleLogicalRange({
			from: Math.max(-5, this.bars.length - this.#shownBars()), to: this.bars.length + 5,
		});
	}

	/** Load the bars of a symbol; what was shown goes. */
	async load(symbol, timeframe, instrument) {
		const turn = this.#begin(symbol, timeframe, instrument);
		this.#drawAll();
		setText(this.note, "loading bars…");
		let found;
		try {
			found = await get("/bars", { symbol, timeframe, limit: BARS });
		} catch (problem) {
			if (turn === this.loading) setText(this.note, problem.message);
			return;
		}
		if (turn !== this.loading) return;
		this.#fill(found.items);
		await this.#findGaps(turn);
	}

	/** Show these bars, the oldest first; the calendar is not asked for gaps. */
	show(symbol, timeframe, instrument, items) {
		this.asksCalendar = false;
		this.#begin(symbol, timeframe, instrument);
		this.#fill(items);
	}

	#shownBars = () => Math.max(30, Math.floor(this.container.clientWidth / 9));

	/** Load what came while the connection was cut; the view stays where it is. */
	async refresh() {
		if (this.symbol === "") return;
		const turn = this.loading;
		try {
			const found = await get("/bars", { symbol: this.symbol, timeframe: this.timeframe, limit: BARS });
			if (turn !== this.loading) return;
			for (const data of found.items) if (isWhole(data)) this.#put(barOf(data));
			this.bars.sort((a, b) => a.time - b.time);
			this.#drawAll();
			await this.#findGaps(turn);
		} catch {
			// The next connection tries again; the page says meanwhile that there is none.
		}
	}

	/** Ask the calendar for the empty places between bars: they are left empty, closed times are marked. */
	async #findGaps(turn) {
		if (!this.asksCalendar) return;
		const gaps = [];
		for (let index = this.bars.length - 1; index > 0 && gaps.length < GAPS; index -= 1) {
			if (this.bars[index].time > this.bars[index - 1].end) gaps.push([this.bars[index - 1], this.bars[index]]);
		}
		const breaks = [];
		for (const [before, after] of gaps) {
			let slots = [];
			try {
				const found = await get("/chart/data/bars_slots", {
					instrument_id: this.symbol, timeframe: this.timeframe, limit: 1,
					bars_timestamp_end: new Date(before.end * 1000).toISOString(),
					slots_timestamp_end: new Date(after.time * 1000).toISOString(),
				});
				slots = found.slots.map(seconds).filter((at) => at >= before.end && at < after.time);
			} catch {
				return;
			}
			if (turn !== this.loading) return;
			const length = after.time - before.end;
			const isShown = slots.length <= SLOTS && slots.length * (before.end - before.time) >= length;
			breaks.push({ after: after.time, length, isShown, slots: slots.slice(-SLOTS) });
		}
		this.breaks = breaks;
		this.#drawAll();
	}

	#put(bar) {
		const last = this.bars.at(-1);
		if (last === undefined || bar.time > last.time) {
			this.bars.push(bar);
			if (this.bars.length > 2 * BARS) this.bars.splice(0, BARS);
			return this.bars.length - 1;
		}
		const index = this.bars.findLastIndex((each) => each.time === bar.time);
		if (index >= 0) {
			// A working bar that comes late does not take the place of the final one.
			if (!(bar.working && !this.bars[index].working)) this.bars[index] = bar;
			return index;
		}
		this.bars.push(bar);
		this.bars.sort((a, b) => a.time - b.time);
		return -1;
	}

	/** Take a bar of the socket. */
	takeBar(data) {
		if (data.symbol !== this.symbol || data.timeframe !== this.timeframe || !isWhole(data)) return;
		const length = this.bars.length;
		const index = this.#put(barOf(data));
		if (length === 0 || index < 0 || this.bars.length < length) this.touched.add("all");
		else this.touched.add(this.bars[index].time);
		if (this.bars.length > length && index > 0 && this.bars[index].time > this.bars[index - 1].end) {
			this.#findGaps(this.loading);
		}
		setText(this.note, "");
		if (this.timer === 0) this.timer = setTimeout(() => this.#drawTouched(), DRAW_MS);
	}

	#drawTouched() {
		this.timer = 0;
		const touched = this.touched;
		this.touched = new Set();
		// Another symbol may have been chosen since.
		if (this.bars.length === 0) return;
		const last = this.bars.at(-1).time;
		const times = [...touched].sort((a, b) => a - b);
		if (touched.has("all") || times[0] < this.drawn) {
			this.#drawAll();
			return;
		}
		for (const time of times) {
			const bar = this.bars.findLast((each) => each.time === time);
			if (bar === undefined) continue;
			this.candles.update(bar);
			this.volume.update(this.#volumeOf(bar));
			this.drawn = time;
		}
		for (const [name, line] of this.lines) {
			const values = LINES[name].of(this.bars.map((bar) => bar.close));
			if (values.at(-1) !== null) line.update({ time: last, value: values.at(-1) });
		}
		this.container.dataset.bars = this.bars.length;
		this.container.dataset.close = this.bars.at(-1).close;
		this.#tellBar(null);
	}

	#volumeOf(bar) {
		return { time: bar.time, value: bar.volume, color: colour(bar.close >= bar.open ? "volume-up" : "volume-down") };
	}

	#points(name) {
		const values = LINES[name].of(this.bars.map((bar) => bar.close));
		return this.bars.map((bar, index) => (
			values[index] === null ? { time: bar.time } : { time: bar.time, value: values[index] }
		));
	}

	#drawAll() {
		// The library takes each time once: a bar that came late fills its empty place.
		const filled = new Set(this.bars.map((bar) => bar.time));
		const empty = this.breaks.flatMap((each) => each.slots).filter((time) => !filled.has(time)).map((time) => ({ time }));
		const candles = empty.length === 0 ? this.bars : [...this.bars, ...empty].sort((a, b) => a.time - b.time);
		this.candles.setData(candles);
		this.volume.setData(this.bars.map((bar) => this.#volumeOf(bar)));
		for (const [name, line] of this.lines) line.setData(this.#points(name));
		this.drawn = this.bars.at(-1)?.time;
		this.container.dataset.bars = this.bars.length;
		this.container.dataset.gaps = this.breaks.length;
		if (this.drawn !== undefined) this.container.dataset.close = this.bars.at(-1).close;
		this.#drawMarks();
		this.#tellBar(null);
	}

	#tellBar(at) {
		const shown = at?.seriesData?.get(this.candles) ?? this.bars.at(-1);
		if (shown?.open === undefined) return;
		const decimals = decimalsOf(this.increment);
		const text = ["open", "high", "low", "close"]
			.map((name) => `${name[0].toUpperCase()} ${shown[name].toFixed(decimals)}`).join("  ");
		const volume = this.bars.find((bar) => bar.time === shown.time)?.volume;
		setText(this.told, volume === undefined ? text : `${text}  V ${amount(volume)}`);
	}

	// --- marks and lines ---------------------------------------------------------------------------

	/** Show the orders and fills of this chart's symbol; `canMove` allows to drag lines. */
	showTrades(orders, fills, canMove) {
		this.orders = orders;
		this.fills = fills;
		this.canMove = canMove;
		this.#drawMarks();
		this.#drawOrders();
	}

	#barAt(text) {
		const at = seconds(text);
		return this.bars.findLast((bar) => bar.time <= at)?.time;
	}

	#drawMarks() {
		const found = new Map();
		const add = (time, mark, text) => {
			if (time === undefined) return;
			const key = `${time} ${mark.position} ${mark.shape}`;
			const known = found.get(key);
			if (known === undefined) found.set(key, { time, ...mark, text });
			else if (text !== "") known.text = known.text === "" ? text : `${known.text}, ${text}`;
		};
		for (const each of this.breaks) {
			const mark = { position: "aboveBar", shape: "square", size: 0.5, color: colour("muted") };
			if (!each.isShown) add(each.after, mark, `${ageText(each.length)} without bars`);
		}
		if (preferences.marks !== "none") {
			for (const fill of this.fills) {
				const isBuy = fill.side === "BUY";
				const mark = {
					position: isBuy ? "belowBar" : "aboveBar", shape: isBuy ? "arrowUp" : "arrowDown",
					color: colour(isBuy ? "up" : "down"),
				};
				const text = fill.strategy === "" ? `${fill.fill_quantity} @ ${fill.fill_price}` : "";
				add(this.#barAt(fill.executed_at ?? fill.timestamp), mark, text);
			}
		}
		if (preferences.marks === "all") {
			for (const order of this.orders) {
				const isBuy = order.side === "BUY";
				const mark = {
					position: isBuy ? "belowBar" : "aboveBar", shape: "circle", size: 0.6, color: colour("accent"),
				};
				add(this.#barAt(order.timestamp), mark, "");
			}
		}
		this.marks.setMarkers([...found.values()].sort((a, b) => a.time - b.time));
		this.container.dataset.marks = found.size;
	}

	#drawOrders(anew = false) {
		const wanted = new Map();
		for (const order of this.orders) {
			if (!order.isOpen) continue;
			for (const field of ["limit_price", "stop_price"]) {
				if (order[field] !== null) wanted.set(`${order.order_id} ${field}`, { order, field });
			}
		}
		for (const [key, line] of this.orderLines) {
			if (!wanted.has(key) || anew) {
				if (this.drag?.key === key) {
					if (!anew) this.cancelDrag();
					else continue;
				}
				this.candles.removePriceLine(line.line);
				this.orderLines.delete(key);
			}
		}
		for (const [key, { order, field }] of wanted) {
			if (this.drag?.key === key) continue;
			const options = {
				price: Number(order[field]), color: colour(lineColour(order)), lineWidth: 1, lineStyle: 2,
				axisLabelVisible: true, title: lineTitle(order),
			};
			const known = this.orderLines.get(key);
			if (known === undefined) {
				this.orderLines.set(key, { line: this.candles.createPriceLine(options), order, field });
			} else {
				known.order = order;
				known.line.applyOptions(options);
			}
		}
		this.container.dataset.lines = this.orderLines.size;
	}

	// --- dragging ----------------------------------------------------------------------------------

	#listenToPointers() {
		const at = (event) => event.clientY - this.container.getBoundingClientRect().top;
		this.container.addEventListener("pointerdown", (event) => {
			const key = event.button === 0 ? this.#lineAt(at(event), event.pointerType === "mouse" ? 6 : 16) : null;
			if (key === null) return;
			this.drag = { key, price: null, id: event.pointerId };
			this.chart.applyOptions({ handleScroll: false, handleScale: false });
			event.preventDefault();
		}, true);
		addEventListener("pointermove", (event) => {
			if (this.drag === null) {
				const over = this.container.contains(event.target) && this.#lineAt(at(event), 6) !== null;
				this.container.classList.toggle("grips", over);
				return;
			}
			const price = this.candles.coordinateToPrice(at(event));
			if (price === null || price <= 0) return;
			this.drag.price = rounded(price, this.increment);
			const { line, order } = this.orderLines.get(this.drag.key);
			line.applyOptions({ price: Number(this.drag.price), title: `${lineTitle(order)} → ${this.drag.price}` });
		});
		addEventListener("pointerup", () => this.#drop());
		addEventListener("pointercancel", () => this.cancelDrag());
	}

	/** Let the scale of prices take in the lines of orders: all where the user wants it, else near ones. */
	#withLines(scale) {
		const last = this.bars.at(-1)?.close;
		if (!scale?.priceRange || last === undefined) return scale;
		const { minValue, maxValue } = scale.priceRange;
		const reach = preferences.fit ? FIT * last : maxValue - minValue;
		for (const { order, field } of this.orderLines.values()) {
			const price = Number(order[field]);
			if (price < minValue - reach || price > maxValue + reach) continue;
			scale.priceRange.minValue = Math.min(scale.priceRange.minValue, price);
			scale.priceRange.maxValue = Math.max(scale.priceRange.maxValue, price);
		}
		return scale;
	}

	#lineAt(y, reach) {
		if (!this.canMove) return null;
		let found = null;
		let nearest = reach;
		for (const [key, { order, field }] of this.orderLines) {
			const place = this.candles.priceToCoordinate(Number(order[field]));
			if (place !== null && Math.abs(place - y) <= nearest) {
				nearest = Math.abs(place - y);
				found = key;
			}
		}
		return found;
	}

	/** Leave a line where it was; true where one was being dragged. */
	cancelDrag() {
		if (this.drag === null) return false;
		this.drag = null;
		this.chart.applyOptions({ handleScroll: true, handleScale: true });
		this.#drawOrders();
		return true;
	}

	async #drop() {
		if (this.drag === null) return;
		const { key, price } = this.drag;
		const { order, field } = this.orderLines.get(key);
		if (price === null || Number(price) === Number(order[field])) {
			this.cancelDrag();
			return;
		}
		const what = order.group_role || order.order_kind;
		this.drag = null;
		this.chart.applyOptions({ handleScroll: true, handleScale: true });
		try {
			await command("PATCH", pathOfOrder(order.order_id), { [field]: price });
			notify(`${what} of ${order.symbol}: ${order[field]} → ${price}`);
			// The order's next state draws the line; where none comes, it goes back to what holds.
			setTimeout(() => this.#drawOrders(), ANSWER_MS);
		} catch (problem) {
			notify(`${what} of ${order.symbol} stays at ${order[field]}: ${problem.message}`, "problem");
			this.#drawOrders();
		}
	}
}

function lineColour(order) {
	if (order.group_role === "TARGET") return "up";
	if (order.group_role === "STOP") return "down";
	return "accent";
}

function lineTitle(order) {
	const what = order.group_role && order.group_role !== "ENTRY" ? order.group_role : `${order.side} ${order.order_kind}`;
	return `${what.replaceAll("_", " ").toLowerCase()} ${order.order_quantity}`;
}
