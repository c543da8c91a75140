#!/bin/bash
# Played inside of the clean system by deploy/test/packages.sh. Says what it saw, a line each; ends with "All good" or what was wrong.
# E: what fails inside of a function ends the scene with the units' logs too.
set -Eeuo pipefail
model=/var/lib/mythic/models/SmolLM2-135M-Instruct.Q4_1.gguf
dev=/var/lib/mythic-indexer/dev
services="mythic-indexer mythic-settler mythic-gateway mythic-node mythic-verify mythic-provider"
says() { printf '%4d s  %s\n' "$SECONDS" "$*"; }
wrong() {
  says "WRONG: $*"
  for unit in development-chain development-network $services; do
    echo "--- $unit"
    systemctl status --no-pager -n 0 "$unit" | head -12 || true
    journalctl --no-pager -o cat -n 15 -u "$unit" | cut -c1-400 || true
  done
  exit 1
}
trap 'wrong "line $LINENO: $BASH_COMMAND"' ERR
# until SECONDS WHAT COMMAND…: tries once a second.
until_ok() {
  local end=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$end" ] || wrong "$what"
    sleep 1
  done
}
json() { python3 -c 'import json,sys; v=json.load(sys.stdin)
for k in sys.argv[1].split("."): v=v[int(k)] if isinstance(v,list) else v[k]
print(v)' "$1"; }
sql() { runuser -u postgres -- psql -XqAt -d mythic -c "$1"; }
announced() { curl -sf http://127.0.0.1:4002/health | grep -q '"announced":[1-9]'; }
active() { [ "$(systemctl is-active "$1")" = active ]; }

# ---- Nothing runs that was not configured; what is there is root's or a service's own.
for unit in $services; do
  [ "$(systemctl is-enabled "$unit" 2>/dev/null || true)" = disabled ] && ! active "$unit" || wrong "$unit is enabled or runs after the installation"
done
[ "$(stat -c '%a %U' /etc/mythic/keys)" = '700 root' ] || wrong "keys are open"
for unit in $services; do id "$unit" >/dev/null; done
[ -s /usr/share/man/man1/mythic-node.1.gz ] || wrong "no manual page"
[ -s /usr/share/bash-completion/completions/mythic ]
says "installed: $(dpkg-query -W -f '${Package} ${Version}, ${Installed-Size} KiB; ' mythic mythic-geyser-plugin)"
for unit in $services; do
  says "$(systemd-analyze security --no-pager "$unit" | tail -1 | sed 's/^[^O]*//;s/[^ -~]*$//')"
done

# ---- PostgreSQL of this machine.
until_ok 60 "PostgreSQL does not start" runuser -u postgres -- psql -c 'SELECT 1'
/usr/lib/mythic/database.sh
/usr/lib/mythic/database.sh >/dev/null   # a second run changes nothing
[ "$(grep -c 'map=mythic' "$(runuser -u postgres -- psql -XqAt -c 'SHOW hba_file')")" = 1 ] || wrong "pg_hba.conf is not as it was"

# ---- A development chain with program, model, stakes and a vault: made by `mythic dev`, then run alone with the package's plugin.
install -d -m 755 -o mythic-indexer -g mythic-indexer /var/lib/mythic-indexer /opt/dev
cp /usr/bin/mythic /usr/lib/mythic/libmythic_geyser_plugin.so /opt/dev/
systemd-run --quiet --unit=development-network --uid=mythic-indexer --gid=mythic-indexer -p WorkingDirectory=/var/lib/mythic-indexer \
  -p Environment=XDG_CACHE_HOME=/var/lib/mythic-indexer/cache /opt/dev/mythic --data-dir "$dev" dev --validators 2 --model "$model"
until_ok 240 "the development network does not become ready" sh -c "grep -q '\"ready_at\": *[0-9]' $dev/dev.json"
model_name=$(json model <"$dev/dev.json")
identity=$(grep -m1 '^identity' "$dev"/config/gateway.toml | cut -d'"' -f2)
provider=$(grep -m1 '^authority' "$dev"/config/provider.toml | cut -d'"' -f2)
systemctl stop development-network
says "a development chain was made: model $model_name"

install -d -m 700 -o mythic-indexer -g mythic-indexer /var/lib/mythic-spool
genesis=$(grep -o 'genesis_hash[": ]*[^",]*' "$dev/config/geyser-plugin.json5" | sed 's/.*[": ]//')
sed -i "s|genesis_hash: \"\"|genesis_hash: \"$genesis\"|" /etc/mythic/geyser-plugin.json5
sed "s|^geyser_plugin_config = .*|geyser_plugin_config = \"/etc/mythic/geyser-plugin.json5\"|" "$dev/config/chain.toml" >/var/lib/mythic-indexer/chain.toml
chown mythic-indexer: /var/lib/mythic-indexer/chain.toml
systemd-run --quiet --unit=development-chain --uid=mythic-indexer --gid=mythic-indexer -p WorkingDirectory=/var/lib/mythic-indexer \
  /usr/bin/mythic chain --config /var/lib/mythic-indexer/chain.toml
until_ok 60 "the chain does not answer" curl -sf -H 'content-type: application/json' -d '{"jsonrpc":"2.0","id":1,"method":"getSlot"}' http://127.0.0.1:8899/

# ---- Keys and configurations as the comments in them say. Loopback is for development networks alone.
key() { install -m 600 "$dev/keys/$1.json" "/etc/mythic/keys/$2"; }
key gateway gateway/payer.json
(umask 077; head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' >/etc/mythic/keys/gateway/master.key)
key settler settler/payer.json
key validator-0 node/authority.json; key operator-0 node/operator.json
key validator-1 verify/authority.json; key operator-1 verify/operator.json
key provider-operator provider/operator.json
sed -i 's|^public_url = .*|public_url = "http://127.0.0.1:4002"|' /etc/mythic/gateway.toml
printf '\n[[models]]\nname = "%s"\nidentity = "%s"\ngguf = "%s"\n' "$model_name" "$identity" "$model" >>/etc/mythic/gateway.toml
for name in node verify; do
  sed -i 's|^gateways = .*|gateways = ["http://127.0.0.1:4002"]|; s|^endpoint = .*|endpoint = "http://127.0.0.1:8080"|; s|^kv_bytes = .*|kv_bytes = 268_435_456|' "/etc/mythic/$name.toml"
  printf '\n[[models]]\npath = "%s"\n' "$model" >>"/etc/mythic/$name.toml"
  (umask 077; printf 'MYTHIC_NODE__ALLOW_LOOPBACK=true\nMYTHIC_NODE__MIN_JOB_LAMPORTS=0\n' >"/etc/mythic/$name.env")
done
(umask 077; echo 'MYTHIC_GATEWAY__DEV=true' >/etc/mythic/gateway.env)
sed -i "s|^# authority = .*|authority = \"$provider\"|; s|^endpoint = .*|endpoint = \"http://127.0.0.1:8090\"|; s|^kv_bytes = .*|kv_bytes = 268_435_456|; s|^# models = .*|models = [\"$model\"]|" /etc/mythic/provider.toml
(umask 077; echo 'MYTHIC_PROVIDER__ALLOW_LOOPBACK=true' >/etc/mythic/provider.env)

# ---- What is shipped says which validator it fits. There is none here; the command itself stands for a program of the same compiler.
mythic doctor plugin --validator /usr/bin/mythic --plugin-config /etc/mythic/geyser-plugin.json5 --json >/root/doctor.json || true
for check in library rustc config owners; do
  grep "\"$check\"" /root/doctor.json | grep -q '"ok"' || wrong "mythic doctor plugin of $check: $(cat /root/doctor.json)"
done
says "the packaged plugin says of itself what it fits: $(grep -o '"library".*' /root/doctor.json | cut -c1-200)"

# ---- Every service by its unit; `systemctl start` returns once it says READY=1.
for unit in $services; do
  before=$SECONDS
  timeout 180 systemctl enable --quiet --now "$unit" || wrong "$unit does not become ready"
  active "$unit" || wrong "$unit is not active"
  says "$unit is ready after $((SECONDS - before)) s, as $(stat -c %U "/proc/$(systemctl show -P MainPID "$unit")"), watched: $(systemctl show -P WatchdogUSec "$unit")"
done
until_ok 90 "no validator announces itself" announced
until_ok 60 "the gateway is not ready" curl -sf http://127.0.0.1:4002/readyz
MYTHIC_PROVIDER__OPERATOR_KEYPAIR=/etc/mythic/keys/provider/operator.json MYTHIC_PROVIDER__ALLOW_LOOPBACK=true \
  mythic doctor provider --config /etc/mythic/provider.toml --json >/root/doctor.json || true
for check in config chain clock stake operator model endpoint; do
  grep "\"$check\"" /root/doctor.json | grep -q '"ok"' || wrong "mythic doctor provider of $check: $(cat /root/doctor.json)"
done
says "the provider is what the chain says of it, and answers: $(grep -c '"ok"' /root/doctor.json) checks are good"

# ---- An answer, bought with an API key, seen in the index until it is settled.
export MYTHIC_GATEWAY_URL=http://127.0.0.1:4002 MYTHIC_RPC_URL=http://127.0.0.1:8899 MYTHIC_WS_URL=ws://127.0.0.1:8900
api_key=$(mythic --keypair "$dev/keys/dev.json" key create --name packages --limit 1 --json 2>/dev/null | json key)
chat() {
  curl -sS --max-time 120 -H "authorization: Bearer $api_key" -H 'content-type: application/json' http://127.0.0.1:4002/v1/chat/completions \
    -d "{\"model\":\"$model_name\",\"max_tokens\":12,\"temperature\":0,\"messages\":[{\"role\":\"user\",\"content\":\"$1\"}]}"
}
answer=$(chat "Why is the sky blue?")
text=$(json choices.0.message.content <<<"$answer") || wrong "no answer: $answer"
[ -n "$text" ] || wrong "an empty answer"
job=$(json mythic.job <<<"$answer")
says "answered: $(tr '\n' ' ' <<<"$text")"
curl -sf http://127.0.0.1:4002/ | grep -q '/static/index\.' || wrong "the gateway was built without its pages"
settled() { [ "$(sql "SELECT status FROM analytics.jobs_finalized WHERE id = '$job'")" = settled ]; }

# ---- What they measure has a row in the documentation, and the other way round.
curl -s http://127.0.0.1:4002/metrics >/root/gateway.metrics
curl -s http://127.0.0.1:8080/metrics >/root/node.metrics
curl -s http://127.0.0.1:8081/metrics >/root/verify.metrics
curl -s http://127.0.0.1:9470/metrics >/root/indexer.metrics
curl -s http://127.0.0.1:9471/metrics >/root/settler.metrics
curl -s http://127.0.0.1:9472/metrics >/root/plugin.metrics
curl -s http://127.0.0.1:9473/metrics >/root/provider.metrics
/root/documented.py /usr/share/doc/mythic/deploy.md* /root/*.metrics || wrong "metrics"
grep -q '^mythic_gateway_component_state{component="chain",state="ok"} 1' /root/gateway.metrics || wrong "no state of the chain"

until_ok 240 "the job is not settled" settled

# ---- Connections are as many as docs/deploy.md says.
connected() { [ "$(sql "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'mythic $1%'")" = "$2" ]; }
until_ok 60 "the indexer has not 4 connections" connected indexer 4
until_ok 60 "the settler has not 2 connections" connected settler 2
says "settled: the job's end is in the index"

# ---- A process that hangs is ended and started again.
mkdir -p /run/systemd/system/mythic-settler.service.d
printf '[Service]\nWatchdogSec=3\nTimeoutAbortSec=2\n' >/run/systemd/system/mythic-settler.service.d/watchdog.conf
systemctl daemon-reload
systemctl restart mythic-settler
sleep 8
[ "$(systemctl show -P NRestarts mythic-settler)" = 0 ] || wrong "a settler that works was taken for one that hangs"
kill -STOP "$(systemctl show -P MainPID mythic-settler)"
until_ok 40 "the watchdog does nothing" sh -c '[ "$(systemctl show -P NRestarts mythic-settler)" -ge 1 ] && [ "$(systemctl is-active mythic-settler)" = active ]'
says "a hanging settler was ended by the watchdog and started again"
rm -r /run/systemd/system/mythic-settler.service.d
systemctl daemon-reload

# ---- A stop in order; what was under way is finished.
systemctl stop mythic-node
[ "$(systemctl show -P Result mythic-node)" = success ] || wrong "the node did not stop in order"
systemctl start mythic-node

# ---- An upgrade to a later version, and the way back, restart what runs and leave configurations, money and history alone.
money() {
  sql "SELECT (SELECT count(*) FROM gateway.api_key), (SELECT COALESCE(sum(paid_in),0) FROM gateway.credit),
       (SELECT count(*) FROM analytics.jobs_finalized), (SELECT COALESCE(sum(fee_lamports),0) FROM analytics.jobs_finalized WHERE status = 'settled'),
       (SELECT COALESCE(sum(balance_lamports),0) FROM analytics.vaults_finalized)"
}
installs() { # WHAT, the package's file, options of apt
  local what=$1 file=$2 before version=
  shift 2
  before=$(systemctl show -P MainPID mythic-gateway)
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$@" "$file" >/root/install.log 2>&1 || wrong "the $what fails: $(tail -3 /root/install.log)"
  version=$(dpkg-query -W -f '${Version}' mythic)
  [ "$version" = "$(dpkg-deb -f "$file" Version)" ] || wrong "after the $what version $version is installed"
  until_ok 120 "the gateway does not come back after the $what" sh -c "[ \"\$(systemctl show -P MainPID mythic-gateway)\" != $before ] && curl -sf http://127.0.0.1:4002/readyz"
  cmp -s /etc/mythic/gateway.toml /root/gateway.toml.before || wrong "the $what changed a configuration"
  for unit in $services; do until_ok 120 "$unit is not back after the $what" active "$unit"; done
  until_ok 60 "no validator after the $what" announced
  [ "$(money)" = "$had" ] || wrong "before the $what $had, after it $(money)"
  says "$what to $version: services restarted one after another, ready; configurations, keys, jobs, fees and vaults kept"
}
old=$(ls /root/packages/mythic_*.deb)
dpkg-deb -R "$old" /root/next
sed -i 's/^Version: .*/&+1/' /root/next/DEBIAN/control
dpkg-deb -Zgzip -z1 -b /root/next /root/mythic_next.deb >/dev/null
rm -r /root/next
cp /etc/mythic/gateway.toml /root/gateway.toml.before
had=$(money)
installs upgrade /root/mythic_next.deb
installs rollback "$old" --allow-downgrades
answer=$(chat "And the sun?")
json choices.0.message.content <<<"$answer" >/dev/null || wrong "no answer after the way back: $answer"

# ---- Backup, loss of everything, return: money, keys and the archive's files are as they were.
systemctl stop mythic-gateway mythic-settler mythic-indexer
# An archive of minutes has no file yet; one of the indexer's own name and rights stands for them.
archive=/var/lib/mythic-indexer/archive
install -d -m 700 -o mythic-indexer -g mythic-indexer "$archive"
head -c 100000 /dev/urandom | install -m 600 -o mythic-indexer -g mythic-indexer /dev/stdin "$archive/events-000000000000001.archive"
filed() { (cd "$archive" && stat -c '%a %U %n' . * && sha256sum -- *); }
had=$(money)
files=$(filed)
(umask 077; runuser -u postgres -- pg_dump -Fc mythic >/root/mythic.dump; tar -C /etc/mythic -cf /root/keys.tar keys; tar -C /var/lib/mythic-indexer -cf /root/archive.tar archive)
runuser -u postgres -- psql -Xq -c 'DROP DATABASE mythic WITH (FORCE)'
rm -r /etc/mythic/keys/gateway "$archive"
/usr/lib/mythic/database.sh >/dev/null
runuser -u postgres -- pg_restore -d mythic --exit-on-error </root/mythic.dump
tar -C /etc/mythic -xf /root/keys.tar
tar -C /var/lib/mythic-indexer -xf /root/archive.tar
[ "$(money)" = "$had" ] || wrong "before $had, after the return $(money)"
[ "$(filed)" = "$files" ] || wrong "the archive had $files, after the return $(filed)"
rm "$archive"/events-*
mythic indexer archive --verify --config /etc/mythic/indexer.toml >/root/archive.log 2>&1 || wrong "the archive after the return: $(cat /root/archive.log)"
systemctl start mythic-indexer mythic-settler mythic-gateway
until_ok 90 "no validator after the return" announced
answer=$(chat "And the grass?")
json choices.0.message.content <<<"$answer" >/dev/null || wrong "no answer after the return: $answer"
says "lost and restored: keys, credit, jobs, fees, vaults $had, the archive's directory; the old API key buys an answer"

# ---- Another master key; API keys stay as they are.
rotate() { MYTHIC_GATEWAY__MASTER_KEY_FILE=/etc/mythic/keys/gateway/master.key mythic gateway rotate-master-key /root/new.key --config /etc/mythic/gateway.toml; }
(umask 077; head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' >/root/new.key)
if rotate >/root/rotate.log 2>&1; then wrong "the master key changed under a gateway that runs"; fi
systemctl stop mythic-gateway
rotate >/root/rotate.log 2>&1 || wrong "the master key can't be changed: $(cat /root/rotate.log)"
mv /root/new.key /etc/mythic/keys/gateway/master.key
systemctl start mythic-gateway
until_ok 90 "no validator after the change of the master key" announced
answer=$(chat "And the sea?")
json choices.0.message.content <<<"$answer" >/dev/null || wrong "no answer under the new master key: $answer"
says "the master key was changed: $(cat /root/rotate.log)"

# ---- Removed: keys and journals stay.
systemctl stop mythic-provider mythic-verify mythic-node mythic-gateway mythic-settler mythic-indexer
DEBIAN_FRONTEND=noninteractive apt-get purge -y -qq mythic >/root/purge.log 2>&1 || wrong "the purge fails"
[ ! -e /usr/bin/mythic ] && [ -s /etc/mythic/keys/gateway/master.key ] && [ -d /var/lib/mythic-node/data ] || wrong "a purge took keys or journals"
says "purged: keys and journals are still there"
trap - ERR
echo "All good after $SECONDS s"
