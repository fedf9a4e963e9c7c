// Numbers and times as people read them. Prices stay texts: a number of JavaScript loses digits.

import { zone } from "./preferences.js";

/** Digits in groups of three, with all decimals that the text has; "–" for nothing. */
export function amount(text, decimals = null) {
	if (text === null || text === undefined || text === "") return "–";
	let shown = String(text);
	if (decimals !== null) {
		const number = Number(shown);
		if (!Number.isFinite(number)) return shown;
		shown = number.toFixed(decimals);
	}
	const match = /^(-?)(\d+)(\.\d+)?$/.exec(shown);
	if (match === null) return shown;
	return match[1].replace("-", "−") + match[2].replace(/\B(?=(\d{3})+$)/g, "\u2009") + (match[3] ?? "");
}

/** A price with all decimals of its increment, so that prices stand under each other. */
export function priced(text, increment) {
	if (text === null || text === undefined || !/^-?\d+(\.\d+)?$/.test(text)) return amount(text);
	const missing = decimalsOf(increment) - decimalsOf(text);
	if (missing <= 0) return amount(text);
	return amount(text + (text.includes(".") ? "" : ".") + "0".repeat(missing));
}

/** An amount with its sign, to two decimals. */
export function signed(text) {
	if (text === null || text === undefined) return "–";
	return (Number(text) > 0 ? "+" : "") + amount(text, 2);
}

/** How many decimals a text has. */
export const decimalsOf = (text) => (String(text).split(".")[1] ?? "").length;

/** A price rounded to an increment, as text. */
export function rounded(price, increment) {
	const step = Number(increment) || 0.01;
	return (Math.round(price / step) * step).toFixed(decimalsOf(increment));
}

const makers = new Map();

function maker(options) {
	const key = `${zone()} ${JSON.stringify(options)}`;
	let found = makers.get(key);
	if (found === undefined) {
		found = new Intl.DateTimeFormat("en-GB", { timeZone: zone(), hourCycle: "h23", ...options });
		makers.set(key, found);
	}
	return found;
}

const CLOCK = { hour: "2-digit", minute: "2-digit", second: "2-digit" };
const DAY = { day: "2-digit", month: "short" };

/** The time of day in the chosen zone, with the day where it is not today's. */
export function timeOf(text) {
	if (!text) return "–";
	const time = new Date(text);
	if (Number.isNaN(time.getTime())) return String(text);
	const clock = maker(CLOCK).format(time);
	const day = maker(DAY).format(time);
	return day === maker(DAY).format(new Date()) ? clock : `${day} ${clock}`;
}

/** The day in the chosen zone. */
export const dayOf = (text) => maker({ ...DAY, year: "numeric" }).format(new Date(text));

/** Day and time to the millisecond, with the zone's name. */
export function fullTime(text) {
	if (!text) return "–";
	const options = { ...DAY, year: "numeric", ...CLOCK, fractionalSecondDigits: 3, timeZoneName: "short" };
	return maker(options).format(new Date(text)).replace("GMT", "UTC");
}

/** What the chart's axis and its crosshair say; `seconds` are of UTC. */
export const chartTime = (seconds) => maker({ ...DAY, ...CLOCK }).format(new Date(seconds * 1000));

/** A mark of the chart's time axis; `weight` is the library's: year, month, day, minute, second. */
export function tickMark(seconds, weight) {
	const time = new Date(seconds * 1000);
	if (weight === 0) return maker({ year: "numeric" }).format(time);
	if (weight === 1) return maker({ month: "short" }).format(time);
	if (weight === 2) return maker(DAY).format(time);
	return maker(weight === 4 ? CLOCK : { hour: "2-digit", minute: "2-digit" }).format(time);
}

/** The zone's name with its distance from UTC now, such as "New York (UTC−5)". */
export function zoneLabel(name = zone()) {
	const city = name.split("/").pop().replaceAll("_", " ");
	const parts = new Intl.DateTimeFormat("en-GB", { timeZone: name, timeZoneName: "shortOffset" }).formatToParts();
	const offset = parts.find((part) => part.type === "timeZoneName")?.value.replace("GMT", "UTC").replace("-", "−");
	return city === offset ? city : `${city} (${offset})`;
}

/** The clock in the chosen zone. */
export const clock = () => maker(CLOCK).format(new Date());

/** What a field of the kind datetime-local says, taken in the chosen zone, as ISO 8601 in UTC. */
export function instantOf(field) {
	const wanted = Date.parse(`${field}Z`);
	if (Number.isNaN(wanted)) return null;
	let guess = wanted;
	// Twice, since the distance from UTC may change between the guess and the answer.
	for (let turn = 0; turn < 2; turn += 1) guess += wanted - Date.parse(`${fieldOf(new Date(guess))}Z`);
	return new Date(guess).toISOString();
}

/** A time as a field of the kind datetime-local takes it, in the chosen zone. */
export function fieldOf(time) {
	const options = { year: "numeric", month: "2-digit", day: "2-digit", ...CLOCK };
	const part = Object.fromEntries(maker(options).formatToParts(time).map((each) => [each.type, each.value]));
	return `${part.year}-${part.month}-${part.day}T${part.hour}:${part.minute}:${part.second}`;
}

/** How long ago, in words. */
export function ageText(seconds) {
	if (seconds < 90) return `${Math.round(seconds)} s`;
	if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
	return `${Math.round(seconds / 3600)} h`;
}
