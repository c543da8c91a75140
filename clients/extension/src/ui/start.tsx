/** Before the wallet is open: made, restored, unlocked. */

import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { newPhrase, phraseFault, tidyPhrase } from "../crypto/phrase";
import { wallet } from "../messages";
import { Alert, field, Title, useWork } from "./basics";

type Step = { name: "welcome" } | { name: "words"; phrase: string } | { name: "check"; phrase: string } | { name: "import" } | { name: "password"; phrase: string };

export function Start({ again }: { again: () => void }): JSX.Element {
  const [step, go] = useState<Step>({ name: "welcome" });
  return (
    <main>
      {step.name === "welcome" ? <Welcome go={go} /> : null}
      {step.name === "words" ? <Words phrase={step.phrase} go={go} /> : null}
      {step.name === "check" ? <Check phrase={step.phrase} go={go} /> : null}
      {step.name === "import" ? <Import go={go} /> : null}
      {step.name === "password" ? <Password phrase={step.phrase} again={again} /> : null}
    </main>
  );
}

function Welcome({ go }: { go: (step: Step) => void }): JSX.Element {
  return (
    <>
      <Title>Mythic Wallet</Title>
      <p>Ask AI models and pay by the token, within limits that the chain enforces, and check every answer yourself.</p>
      <p class="quiet">Your keys are made here, kept here under your password, and sent to nobody.</p>
      <div class="actions">
        <button type="button" class="main" onClick={() => go({ name: "words", phrase: newPhrase() })}>Create a wallet</button>
        <button type="button" onClick={() => go({ name: "import" })}>I have a recovery phrase</button>
      </div>
    </>
  );
}

/** A recovery phrase, shown while somebody looks at this page and nothing else. */
export function Phrase({ phrase }: { phrase: string }): JSX.Element {
  const [shown, show] = useState(false);
  useEffect(() => {
    const hide = (): void => show(false);
    addEventListener("blur", hide);
    document.addEventListener("visibilitychange", hide);
    return () => {
      removeEventListener("blur", hide);
      document.removeEventListener("visibilitychange", hide);
    };
  }, []);
  if (!shown) return <p><button type="button" onClick={() => show(true)}>Show the words</button> <small>They hide again when you look away.</small></p>;
  return <ol class="phrase" aria-label="Recovery phrase">{phrase.split(" ").map((word, i) => <li key={i}>{word}</li>)}</ol>;
}

function Words({ phrase, go }: { phrase: string; go: (step: Step) => void }): JSX.Element {
  return (
    <>
      <Title>Your recovery phrase</Title>
      <p>These twelve words are the wallet. Write them on paper: who has them has your money, and without them a lost password can't be mended.</p>
      <p class="notice">No screenshot, no cloud, no chat. Nobody of Mythic will ever ask for them.</p>
      <Phrase phrase={phrase} />
      <div class="actions"><button type="button" class="main" onClick={() => go({ name: "check", phrase })}>I wrote them down</button></div>
    </>
  );
}

/** Three places of a phrase of twelve. */
const PLACES = [1, 5, 10];

function Check({ phrase, go }: { phrase: string; go: (step: Step) => void }): JSX.Element {
  const [error, say] = useState("");
  const check = (event: Event): void => {
    event.preventDefault();
    const form = event.currentTarget as HTMLFormElement;
    const words = phrase.split(" ");
    const wrong = PLACES.find((place) => tidyPhrase(field(form, `word${place}`)) !== words[place]);
    if (wrong === undefined) go({ name: "password", phrase });
    else say(`Word ${wrong + 1} is another one.`);
  };
  return (
    <form onSubmit={check}>
      <Title>Is it written down?</Title>
      {PLACES.map((place) => <label key={place}>Word {place + 1}<input name={`word${place}`} autocomplete="off" autocapitalize="none" spellcheck={false} /></label>)}
      <Alert text={error} />
      <div class="actions">
        <button type="button" onClick={() => go({ name: "words", phrase })}>Back to the words</button>
        <button type="submit" class="main">Go on</button>
      </div>
    </form>
  );
}

function Import({ go }: { go: (step: Step) => void }): JSX.Element {
  const [error, say] = useState("");
  const read = (event: Event): void => {
    event.preventDefault();
    const phrase = tidyPhrase(field(event.currentTarget as HTMLFormElement, "phrase"));
    const fault = phraseFault(phrase);
    if (fault) say(fault);
    else go({ name: "password", phrase });
  };
  return (
    <form onSubmit={read}>
      <Title>Restore a wallet</Title>
      <p class="quiet">12 to 24 English words (BIP-39). Accounts are those that Phantom shows: m/44'/501'/0'/0' and on.</p>
      <label>Recovery phrase<textarea name="phrase" rows={4} autocomplete="off" autocapitalize="none" spellcheck={false} /></label>
      <Alert text={error} />
      <div class="actions">
        <button type="button" onClick={() => go({ name: "welcome" })}>Back</button>
        <button type="submit" class="main">Go on</button>
      </div>
    </form>
  );
}

function Password({ phrase, again }: { phrase: string; again: () => void }): JSX.Element {
  const { busy, error, run } = useWork();
  const make = (event: Event): void => {
    event.preventDefault();
    const form = event.currentTarget as HTMLFormElement;
    const [password, repeated] = [field(form, "password"), field(form, "repeated")];
    run(async () => {
      if (password !== repeated) throw new Error("The two passwords differ.");
      await wallet.create(phrase, password);
      again();
    });
  };
  return (
    <form onSubmit={make}>
      <Title>A password for this browser</Title>
      <p class="quiet">It opens the wallet here. It is kept nowhere: forgotten, only the recovery phrase helps.</p>
      <label>Password, at least 8 characters<input name="password" type="password" autocomplete="new-password" /></label>
      <label>The same again<input name="repeated" type="password" autocomplete="new-password" /></label>
      <Alert text={error} />
      <div class="actions"><button type="submit" class="main" disabled={busy}>{busy ? "Encrypting…" : "Make the wallet"}</button></div>
    </form>
  );
}

export function Unlock({ again }: { again: () => void }): JSX.Element {
  const { busy, error, run } = useWork();
  const [forgot, forget] = useState(false);
  const unlock = (event: Event): void => {
    event.preventDefault();
    const password = field(event.currentTarget as HTMLFormElement, "password");
    run(async () => {
      await wallet.unlock(password);
      again();
    });
  };
  if (forgot) return <main><Forgotten again={again} back={() => forget(false)} /></main>;
  return (
    <main>
      <form onSubmit={unlock}>
        <Title>The wallet is locked</Title>
        <label>Password<input name="password" type="password" autocomplete="current-password" /></label>
        <Alert text={error} />
        <div class="actions"><button type="submit" class="main" disabled={busy}>{busy ? "Opening…" : "Unlock"}</button></div>
        <button type="button" class="plain" onClick={() => forget(true)}>I forgot the password</button>
      </form>
    </main>
  );
}

function Forgotten({ again, back }: { again: () => void; back?: () => void }): JSX.Element {
  const { busy, error, run } = useWork();
  const [sure, setSure] = useState(false);
  return (
    <>
      <Title>{back ? "A forgotten password" : "The wallet can't be read"}</Title>
      {back ? null : <p class="notice alarm">What is stored of the wallet is damaged, or was written by another version.</p>}
      <p>Nobody can open the wallet without its password. With the recovery phrase it can be made again: remove it here, then restore it.</p>
      <label class="tick"><input type="checkbox" checked={sure} onChange={(event) => setSure(event.currentTarget.checked)} />I have the recovery phrase, or nothing to lose.</label>
      <Alert text={error} />
      <div class="actions">
        {back ? <button type="button" onClick={back}>Back</button> : null}
        <button type="button" class="danger" disabled={!sure || busy} onClick={() => run(async () => { await wallet.wipe(); again(); })}>Remove the wallet from this browser</button>
      </div>
    </>
  );
}

export function Damaged({ again }: { again: () => void }): JSX.Element {
  return <main><Forgotten again={again} /></main>;
}
