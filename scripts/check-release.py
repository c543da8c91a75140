#!/usr/bin/env python3
"""check-release.py DIST release|dev: looks at packages as they are shipped. Libraries say what they fit, the list of crates is inside of
each ELF file and agrees with the bill of materials. Prints a row of the table "Sizes" of docs/deploy.md for each; ends with 1 and what
is wrong."""
import glob, json, os, subprocess, sys, tempfile, zlib

dist, profile = sys.argv[1], sys.argv[2]
# Package: its ELF file, and crates that it can't be without; of a library, first the crate of the validator's interface.
SHIPPED = {
    "mythic": ("usr/bin/mythic", ["rdkafka", "tokio-postgres", "mythic-indexer"]),
    "mythic-geyser-plugin": ("usr/lib/mythic/libmythic_geyser_plugin.so", ["agave-geyser-plugin-interface", "rdkafka"]),
    "mythic-geyser-plugin-1.18": ("usr/lib/mythic/libmythic_geyser_plugin_v1_18.so", ["solana-geyser-plugin-interface", "rdkafka"]),
}
wrong = []


def said(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def section(file, name):
    """A section of an ELF file; None if it has none of this name."""
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "section")
        said("objcopy", "--dump-section", f"{name}={out}", file, os.path.join(folder, "rest"))
        return open(out, "rb").read() if os.path.exists(out) else None


def versions(listed):
    found = {}
    for one in listed:
        found.setdefault(one["name"], set()).add(one["version"])
    return found


def sized(count):
    return f"{count / 1e6:.1f} MB"


def look(name, file, crates, deb, folder):
    elf = os.path.join(folder, file)
    if not os.path.isfile(elf):
        return wrong.append(f"{deb} has no {file}")
    inside = None
    if profile == "release":
        packed = section(elf, ".dep-v0")
        if packed is None:
            wrong.append(f"{file} has no section .dep-v0: build with cargo auditable, and strip no sections")
        else:
            inside = versions(json.loads(zlib.decompress(packed))["packages"])
    try:
        bill = json.load(open(os.path.join(dist, f"{name}.cdx.json")))
        named = versions(bill["components"])
        if bill.get("bomFormat") != "CycloneDX" or len(named) < 50:
            wrong.append(f"{name}.cdx.json: {bill.get('bomFormat')} of {len(named)} components")
    except (OSError, ValueError, KeyError) as error:
        return wrong.append(f"{name}.cdx.json: {error!r}")
    for crate in crates:
        if crate not in named:
            wrong.append(f"{name}.cdx.json does not name {crate}")
        elif inside is not None and not inside.get(crate, set()) & named[crate]:
            wrong.append(f"{crate}: {file} has {inside.get(crate)}, {name}.cdx.json {named[crate]}")
    if file.endswith(".so"):
        note = (section(elf, ".mythic.plugin") or b"").split(b"\0")[0].decode(errors="replace").splitlines()
        fits = {f"crate={crates[0]}"} | {f"rustc={said('rustc', '--version').strip()}"}
        fits |= {f"interface={version}" for version in named.get(crates[0], {"?"})}
        missing = fits - set(note)
        if note[:1] != ["mythic-geyser-plugin"] or missing:
            wrong.append(f"{file}: section .mythic.plugin, which `mythic doctor plugin` reads, says {note} and not {sorted(missing)}")
        if " _create_plugin\n" not in said("nm", "--dynamic", "--defined-only", elf):
            wrong.append(f"{file} exports no _create_plugin")
    installed = int(said("dpkg-deb", "--field", deb, "Installed-Size")) * 1024
    listed = f"{sum(map(len, inside.values()))} crates" if inside else "no list"
    print(f"| `{name}` | {sized(os.path.getsize(deb))} | {sized(installed)} | {sized(os.path.getsize(elf))}, {listed} |")


for name, (file, crates) in SHIPPED.items():
    debs = glob.glob(os.path.join(dist, f"{name}_*.deb"))
    # Packages to try come without the one of 1.18, which takes minutes.
    if not debs and profile == "dev" and name.endswith("1.18"):
        continue
    if len(debs) != 1:
        wrong.append(f"{name}: {len(debs)} packages in {dist}")
        continue
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["dpkg-deb", "--extract", debs[0], folder], check=True)
        look(name, file, crates, debs[0], folder)
if wrong:
    sys.exit("Not as it should be:\n" + "\n".join(wrong))
