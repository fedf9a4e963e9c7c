// Building the page: every text goes in as text, never as HTML.

/** Make an element; `on…` properties are listeners, `text` is its text, the rest are attributes. */
export function make(tag, properties = {}, ...children) {
	const element = document.createElement(tag);
	for (const [name, value] of Object.entries(properties)) {
		if (value === undefined || value === null || value === false) continue;
		if (name === "text") element.textContent = value;
		else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
		else if (name === "class") element.className = value;
		else if (name === "value" || name === "checked") element[name] = value;
		else element.setAttribute(name, value === true ? "" : String(value));
	}
	element.append(...children.filter((child) => child !== null && child !== undefined));
	return element;
}

/** The element with an id; the page always has it. */
export const byId = (id) => document.getElementById(id);

/** Set a text only where it has changed, so that a selection by the user stays. */
export function setText(element, text) {
	const wanted = String(text);
	if (element.textContent !== wanted) element.textContent = wanted;
}

/** Names and what is said of each. */
export function facts(pairs) {
	const list = make("dl", { class: "facts" });
	for (const [name, value] of pairs) list.append(make("dt", {}, name), make("dd", {}, value));
	return list;
}

const SHOWN_MS = { ok: 5000, problem: 12000 };

/** Tell the user something for a while; `kind` is ok or problem. */
export function notify(text, kind = "ok") {
	const note = make("div", { class: `note ${kind}`, role: kind === "ok" ? "status" : "alert" });
	note.append(
		make("span", { text }),
		make("button", { type: "button", text: "×", "aria-label": "Close", onclick: () => note.remove() }),
	);
	const notes = byId("notes");
	notes.append(note);
	while (notes.children.length > 4) notes.firstElementChild.remove();
	setTimeout(() => note.remove(), SHOWN_MS[kind]);
}

/** Open a dialog with a title and content; closed ones are removed. */
export function openDialog(title, ...content) {
	const close = make("button", {
		type: "button", class: "plain", text: "×", "aria-label": "Close", onclick: () => dialog.close(),
	});
	const dialog = make(
		"dialog",
		{ "aria-label": title, onclose: () => dialog.remove() },
		make("header", {}, make("h2", { text: title }), close),
		...content,
	);
	dialog.addEventListener("click", (event) => {
		if (event.target === dialog) dialog.close();
	});
	document.body.append(dialog);
	dialog.showModal();
	return dialog;
}

/** Ask yes or no; the answer is a promise of a boolean, or of the text of `input` where it is asked for. */
export function confirmed(title, question, action, input = null, required = true) {
	return new Promise((resolve) => {
		let answer = false;
		const field = input === null ? null : make("input", { required, maxlength: 200, placeholder: input });
		const form = make(
			"form",
			{
				onsubmit: (event) => {
					event.preventDefault();
					answer = field === null ? true : field.value.trim();
					dialog.close();
				},
			},
			make("p", { text: question }),
			field,
			make(
				"div",
				{ class: "actions" },
				make("button", { type: "button", text: "Keep as it is", onclick: () => dialog.close() }),
				make("button", { type: "submit", class: "danger", text: action }),
			),
		);
		const dialog = openDialog(title, form);
		dialog.addEventListener("close", () => resolve(answer));
		(field ?? form.querySelector("[type=submit]")).focus();
	});
}
