// The page of an address that has none.
import type { JSX } from "preact";
import { Heading } from "../ui/page";

export function Missing(): JSX.Element {
  return (
    <>
      <Heading title="There is no such page" />
      <p class="card">
        <bdi class="foreign">{location.pathname}</bdi> is no address of this gateway. A job, case, validator, lease or provider is under its base58 address: <code>/jobs/ADDRESS</code>.{" "}
        <a href="/">The network</a> can look one up.
      </p>
    </>
  );
}
