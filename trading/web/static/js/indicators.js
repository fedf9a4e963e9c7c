// Indicators over the chart's bars, by the definitions of trading.indicators.

/** Exponential moving average, begun by a simple one; null until it is ready. */
export function ema(values, length) {
	const weight = 2 / (length + 1);
	let sum = 0;
	let now = null;
	return values.map((value, index) => {
		if (index < length) {
			sum += value;
			now = index === length - 1 ? sum / length : null;
		} else {
			now += (value - now) * weight;
		}
		return now;
	});
}

/** Simple moving average. */
export function sma(values, length) {
	let sum = 0;
	return values.map((value, index) => {
		sum += value - (index >= length ? values[index - length] : 0);
		return index >= length - 1 ? sum / length : null;
	});
}

/** Relative strength by Wilder's averages, from 0 to 100. */
export function rsi(values, length) {
	let gain = 0;
	let loss = 0;
	return values.map((value, index) => {
		if (index === 0) return null;
		const change = value - values[index - 1];
		const up = Math.max(change, 0);
		const down = Math.max(-change, 0);
		if (index <= length) {
			gain += up / length;
			loss += down / length;
			if (index < length) return null;
		} else {
			gain += (up - gain) / length;
			loss += (down - loss) / length;
		}
		return gain + loss === 0 ? 0 : (100 * gain) / (gain + loss);
	});
}
