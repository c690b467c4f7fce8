/** Values as people read them. */

const units = ["kB", "MB", "GB", "TB"] as const;

/** Such as 28.9 kB, of a number of bytes. */
export function size(bytes: string | number): string {
  let amount = Number(bytes);
  let unit = "B";
  for (const larger of units) {
    if (amount < 1000) break;
    amount /= 1000;
    unit = larger;
  }
  return unit === "B" ? `${amount} B` : `${amount.toFixed(1)} ${unit}`;
}

const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });
const spans: readonly [Intl.RelativeTimeFormatUnit, number][] = [
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
  ["second", 1],
];

/** In this machine's zone. */
export function local(at: string): string {
  return moment.format(new Date(at));
}

/** Such as "5 minutes ago" for a week, and then the date. */
export function ago(at: string, now: number = Date.now()): string {
  const seconds = Math.round((Date.parse(at) - now) / 1000);
  if (Math.abs(seconds) > 7 * 86_400) return moment.format(new Date(at));
  const [unit, length] = spans.find(([, length]) => Math.abs(seconds) >= length) ?? ["second", 1];
  return relative.format(Math.trunc(seconds / length), unit);
}

const name = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;
const id = /^([0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$/i;

/** What is wrong with an alias's name; null if nothing. */
export function nameFault(text: string): string | null {
  if (text === "") return "Give it a name.";
  if (isId(text)) return "That has the form of an id, which an alias may not have.";
  if (!/^[A-Za-z0-9]/.test(text)) return "It must begin with a letter or a digit.";
  if (text.length > 128) return `It has ${text.length} characters; at most 128 are allowed.`;
  return name.test(text) ? null : "Only letters, digits, '.', '_' and '-' are allowed.";
}

export function isId(text: string): boolean {
  return id.test(text);
}

/** A reference without its datum://, or a bare id, as what a person may paste. */
export function bare(reference: string): string {
  return reference.trim().replace(/^datum:\/\//, "");
}

/** What no other call ever gives. crypto.randomUUID is there on https and localhost only. */
export function unique(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
