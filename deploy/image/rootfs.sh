#!/usr/bin/env bash
# Lays out the files of the image. Usage: rootfs.sh BINARY FOLDER
#
# The paths are those that the official chart and the operator mount over, copy from and call.
set -euo pipefail

if [ $# -ne 2 ] || [ ! -x "$1" ]; then
  echo "usage: rootfs.sh BINARY FOLDER: an executable muster and the folder to lay the files out in" >&2
  exit 2
fi
binary=$1
root=$2

mkdir -p "$root"/opt/datadog-agent/{bin,run} "$root"/var/log/datadog "$root"/etc/cont-init.d "$root"/conf.d \
  "$root"/etc/datadog-agent/{conf.d,auth,certificates}

install -m 755 "$binary" "$root/opt/datadog-agent/bin/muster"
for name in datadog-cluster-agent agent; do
  ln -sf muster "$root/opt/datadog-agent/bin/$name"
done

# The start commands of the chart copy, list and touch these; an empty folder would not survive `COPY`.
printf '# Options of the node role: docs/CONFIG.md\n' >"$root/etc/datadog-agent/datadog.yaml.example"
printf '# Options of the cluster role: docs/CONFIG.md\n' >"$root/etc/datadog-agent/datadog-cluster.yaml.example"

cat >"$root/readsecret.sh" <<'SCRIPT'
#!/bin/bash
exec /opt/datadog-agent/bin/muster secret-helper read "$1"
SCRIPT
cat >"$root/readsecret_multiple_providers.sh" <<'SCRIPT'
#!/bin/bash
exec /opt/datadog-agent/bin/muster secret-helper read --with-provider-prefixes
SCRIPT
chmod 550 "$root/readsecret.sh" "$root/readsecret_multiple_providers.sh"

# Whoever runs it is in group 0 and may write where a read-only root does not forbid it.
chmod -R g=u "$root"/opt/datadog-agent/run "$root"/var/log/datadog "$root"/etc/datadog-agent
