// What the user chose: kept in this browser only.

const KEY = "desk.preferences";
const DEFAULTS = { zone: "", theme: "auto", symbol: "", timeframe: "", account: "", marks: "fills", lines: ["ema"], fit: false };

function read() {
	try {
		return { ...DEFAULTS, ...JSON.parse(localStorage.getItem(KEY) ?? "{}") };
	} catch {
		return { ...DEFAULTS };
	}
}

export const preferences = read();

/** Change a preference and keep it. */
export function prefer(name, value) {
	preferences[name] = value;
	try {
		localStorage.setItem(KEY, JSON.stringify(preferences));
	} catch {
		// A browser that keeps nothing still shows the page.
	}
}

/** The browser's own time zone. */
export const localZone = () => Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";

/** The zone in which times are shown. */
export const zone = () => preferences.zone || localZone();

const colours = new Map();

/** Show the page light, dark, or as the system is. */
export function applyTheme() {
	colours.clear();
	const dark = preferences.theme === "dark"
		|| (preferences.theme === "auto" && matchMedia("(prefers-color-scheme: dark)").matches);
	document.documentElement.dataset.theme = dark ? "dark" : "light";
}

/** A colour of the theme, for a canvas. Asking the browser each time would make it lay out the page. */
export function colour(name) {
	let found = colours.get(name);
	if (found === undefined) {
		found = getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
		colours.set(name, found);
	}
	return found;
}
