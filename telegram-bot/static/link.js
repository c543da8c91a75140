// The wallet page: finds wallets by Wallet Standard, has one sign the challenge, then a transaction. It keeps nothing.
"use strict";

const base = location.pathname.replace(/\/+$/, "");
const at = (id) => document.getElementById(id);
const wallets = new Map();
/** Pause between two looks at whether the wallet is confirmed, milliseconds. */
const LOOK = 2000;
let chain = "";
let chosen;

const say = (text) => { at("status").textContent = text; };
const base64 = (bytes) => btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
const unbase64 = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

/** Lamports as SOL, exactly. */
function sol(lamports) {
  const text = lamports.padStart(10, "0");
  const whole = `${text.slice(0, -9)}.${text.slice(-9)}`.replace(/\.?0+$/, "");
  return `${whole} SOL (${lamports} lamports)`;
}

/** What a person typed as SOL, as lamports in a decimal string. */
function lamports(name, text) {
  const found = /^(\d{1,6})(?:\.(\d{0,9}))?$/.exec(text.trim());
  if (!found) throw new Error(`${name}: write an amount in SOL, with a point and at most nine places`);
  return BigInt(found[1] + (found[2] ?? "").padEnd(9, "0")).toString();
}

async function ask(path, body) {
  const init = body === undefined ? {} : { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
  const response = await fetch(base + path, init);
  const told = await response.json().catch(() => ({}));
  if (!response.ok) throw Object.assign(new Error(told.error ?? `The bot answers ${response.status}.`), { status: response.status });
  return told;
}

/** Runs one thing at a time, and says what goes wrong. */
async function run(what) {
  const buttons = [...document.querySelectorAll("button")];
  buttons.forEach((button) => { button.disabled = true; });
  try {
    await what();
  } catch (error) {
    say(error instanceof Error ? error.message : String(error));
  } finally {
    document.querySelectorAll("button").forEach((button) => { button.disabled = false; });
  }
}

async function show() {
  const state = await ask("/state");
  chain = state.chain;
  at("bot").textContent = `@${state.bot}`;
  at("chain").textContent = chain;
  at("account").textContent = `${state.account} (number ${state.account_id})`;
  at("asked").textContent = `${state.account} (number ${state.account_id})`;
  at("unconfirmed").textContent = state.unconfirmed ?? "–";
  at("confirm").hidden = state.unconfirmed === null;
  at("connect").hidden = state.unconfirmed !== null || (state.wallet !== null && chosen !== undefined);
  at("allow").hidden = state.wallet === null;
  if (state.wallet === null) return state;
  const { funds } = state;
  at("wallet").textContent = state.wallet;
  at("delegate").textContent = state.delegate;
  at("vault").textContent = funds.vault === null ? "nothing yet" : `${sol(funds.vault)}, slot ${funds.slot}`;
  at("fuel").textContent = sol(funds.fuel);
  at("grant").textContent = funds.grant === null
    ? "nothing"
    : `${sol(funds.grant.per_job)} for one question, ${sol(funds.grant.per_day)} a day, ${sol(funds.grant.in_all)} in all, ${sol(funds.grant.spent)} spent`;
  if (funds.grant !== null) fill(funds.grant);
  return state;
}

/** Shows how it stands until the wallet is not waited for any more: its account confirmed it in Telegram, or the page has ended. */
async function confirmed() {
  let state = await show();
  while (state.unconfirmed !== null) {
    await new Promise((go) => { setTimeout(go, LOOK); });
    state = await show().catch((error) => {
      at("confirm").hidden = error.status === 404;
      if (error.status === 404) throw error;
      say(error.message);
      return state;
    });
  }
  return state;
}

/** Shows what stands, so that whoever changes one limit changes no other, and pays nothing in again. */
function fill(grant) {
  const plain = (lamports) => sol(lamports).split(" ")[0];
  const { elements } = at("form");
  for (const name of ["per_job", "per_day", "in_all"]) elements[name].value = plain(grant[name]);
  for (const name of ["deposit", "fuel"]) elements[name].value = "0";
}

function offer() {
  const list = at("wallets");
  list.replaceChildren();
  for (const [name, wallet] of wallets) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = name;
    button.addEventListener("click", () => run(() => connect(wallet)));
    list.append(button);
  }
  at("none").hidden = wallets.size > 0;
}

function register(...found) {
  for (const wallet of found) {
    const { features } = wallet;
    const can = ["standard:connect", "solana:signMessage", "solana:signTransaction"].every((name) => name in features);
    if (can) wallets.set(String(wallet.name).slice(0, 40), wallet);
  }
  offer();
  return () => undefined;
}

async function connect(wallet) {
  const { accounts } = await wallet.features["standard:connect"].connect();
  const account = accounts.find((one) => one.chains.includes(chain)) ?? accounts[0];
  if (!account) throw new Error("The wallet shares no account.");
  const state = await ask("/state");
  if (state.wallet === null) {
    const { message } = await ask("/challenge", { wallet: account.address });
    const bytes = new TextEncoder().encode(message);
    const [signed] = await wallet.features["solana:signMessage"].signMessage({ account, message: bytes });
    if (!signed) throw new Error("The wallet gave no signature.");
    await ask("/proof", { signature: base64(signed.signature) });
    chosen = { wallet, account };
    say("Signed. Now look into your chat with the bot.");
    await confirmed();
  } else if (state.wallet !== account.address) {
    throw new Error(`This page is for wallet ${state.wallet}: choose that account, or write /link to the bot again.`);
  }
  chosen = { wallet, account };
  await show();
  say("Signed in.");
}

async function transact(wanted) {
  if (!chosen) {
    at("connect").hidden = false;
    throw new Error("Connect the wallet first.");
  }
  const { wallet, account } = chosen;
  const { transaction } = await ask("/transaction", wanted);
  say("The wallet asks you now.");
  const [signed] = await wallet.features["solana:signTransaction"].signTransaction({ account, transaction: unbase64(transaction), chain });
  if (!signed) throw new Error("The wallet gave no signature.");
  say("On its way to the chain…");
  const { signature } = await ask("/send", { transaction: base64(signed.signedTransaction) });
  await show();
  say(`Done, in transaction ${signature}. Go back to Telegram.`);
}

at("form").addEventListener("submit", (event) => {
  event.preventDefault();
  run(() => {
    const form = new FormData(at("form"));
    const amount = (name) => lamports(name.replaceAll("_", " "), String(form.get(name)));
    const days = Number(form.get("days"));
    return transact({
      kind: "allow", deposit: amount("deposit"), per_job: amount("per_job"), per_day: amount("per_day"),
      in_all: amount("in_all"), days, fuel: amount("fuel"),
    });
  });
});
at("revoke").addEventListener("click", () => run(() => transact({ kind: "revoke" })));

// Wallet Standard: wallets that are there hear that a page is, and those that come later say so.
window.addEventListener("wallet-standard:register-wallet", (event) => event.detail({ register }));
window.dispatchEvent(new CustomEvent("wallet-standard:app-ready", { detail: { register } }));
run(async () => {
  const state = await confirmed();
  at("connect").hidden = false;
  offer();
  if (state.wallet !== null) say("Connect the wallet to change what it allows.");
});
