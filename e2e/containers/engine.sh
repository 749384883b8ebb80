#!/usr/bin/env bash
# Provides what test:containers needs and prints it as lines NAME=value: DOCKER_HOST, COMPOSE, and the base images.
# A machine with Docker, Compose 2 and a registry needs nothing. A Debian machine without gets Docker from Debian, and images of
# Debian's nginx, Redis and Prometheus with the pinned Node, all below $LAB; there is none of Grafana. `engine.sh down` removes them.
set -euo pipefail
LAB=${LAB:-/tmp/knowalledge-containers}
say() { echo "$*" >&2; }

if [ "${1:-}" = down ]; then
  if [ -f "$LAB/dockerd.pid" ]; then kill "$(cat "$LAB/dockerd.pid")" && tail --pid="$(cat "$LAB/dockerd.pid")" -f /dev/null; fi
  exit
fi

if docker info >/dev/null 2>&1 && docker compose version >/dev/null 2>&1; then
  if docker image inspect node:24-slim >/dev/null 2>&1 || docker pull --quiet node:24-slim >/dev/null 2>&1; then
    echo "COMPOSE=docker compose"
    exit
  fi
fi

packages="docker.io debootstrap iptables"
if ! command -v dockerd >/dev/null || ! command -v debootstrap >/dev/null; then
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    say "The container tests need Docker with Compose 2 and its images, or a Debian machine and root:"
    say "  sudo apt-get install --no-install-recommends $packages && sudo npm run test:containers"
    exit 1
  fi
  say "Installing $packages …"
  apt-get update -qq >&2
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages >/dev/null
fi

mkdir -p "$LAB/context"
export DOCKER_HOST=unix://$LAB/docker.sock DOCKER_BUILDKIT=0
if ! docker info >/dev/null 2>&1; then
  say "Starting dockerd in $LAB …"
  setsid dockerd --host "$DOCKER_HOST" --data-root "$LAB/data" --exec-root "$LAB/exec" --pidfile "$LAB/dockerd.pid" \
    >"$LAB/dockerd.log" 2>&1 &
  for _ in $(seq 120); do docker info >/dev/null 2>&1 && break; sleep 0.5; done
  docker info >/dev/null 2>&1 || { say "dockerd did not start: $(tail -n 3 "$LAB/dockerd.log")"; exit 1; }
fi

has() { docker image inspect "$1" >/dev/null 2>&1; }
image() { # image NAME, with its Dockerfile on stdin
  docker build --network host -q -t "$1" -f - "$LAB/context" >"$LAB/build.log" 2>&1 || { say "$(tail -n 20 "$LAB/build.log")"; exit 1; }
}

if ! has debian-sid; then
  say "Making a base image of Debian sid …"
  debootstrap --variant=minbase --include=ca-certificates sid "$LAB/sid" >"$LAB/debootstrap.log" 2>&1
  tar -C "$LAB/sid" -c . | docker import - debian-sid >/dev/null
  rm -rf "$LAB/sid"
fi
if ! has debian-node; then
  cp node_modules/node/bin/node "$LAB/context/"
  cp -a "$(npm root -g)/npm" "$LAB/context/"
  # How this machine reaches its package registry.
  cat ~/.npmrc >"$LAB/context/npmrc" 2>/dev/null || : >"$LAB/context/npmrc"
  cat "${NODE_EXTRA_CA_CERTS:-/etc/ssl/certs/ca-certificates.crt}" >"$LAB/context/ca.pem"
  image debian-node <<'D'
FROM debian-sid
COPY node /usr/local/bin/
COPY npm /usr/local/lib/node_modules/npm
COPY npmrc /root/.npmrc
COPY ca.pem /etc/ssl/certs/ca-certificates.crt
ENV NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt
RUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm && ln -s ../lib/node_modules/npm/bin/npx-cli.js /usr/local/bin/npx \
 && groupadd -g 1000 node && useradd -u 1000 -g 1000 node
D
fi
if ! has debian-servers; then
  say "Installing nginx, Redis, Prometheus and Compose into an image …"
  # As the official image does: fills in the templates, then starts.
  cat >"$LAB/context/nginx-entrypoint" <<'S'
#!/bin/sh
set -e
names=$(env | cut -d= -f1 | grep -E "$NGINX_ENVSUBST_FILTER" | sed 's/.*/${&}/' | tr '\n' ' ')
for template in /etc/nginx/templates/*.template; do
  envsubst "$names" <"$template" >"$NGINX_ENVSUBST_OUTPUT_DIR/$(basename "$template" .template)"
done
exec "$@"
S
  chmod +x "$LAB/context/nginx-entrypoint"
  image debian-servers <<'D'
FROM debian-sid
RUN apt-get -o Acquire::Check-Valid-Until=false update -qq && apt-get install -y -qq --no-install-recommends nginx redis-server prometheus docker-compose gettext-base wget
COPY nginx-entrypoint /
RUN mkdir -p /data /prometheus /var/cache/nginx && chown 999:1000 /data && chown 65534 /prometheus && chown 101 /var/cache/nginx
D
  image debian-nginx <<<$'FROM debian-servers\nUSER 101\nENTRYPOINT ["/nginx-entrypoint"]'
  image debian-redis <<<$'FROM debian-servers\nWORKDIR /data'
  image debian-prometheus <<<$'FROM debian-servers\nUSER 65534\nWORKDIR /prometheus\nENTRYPOINT ["prometheus"]'
fi
if ! [ -x "$LAB/docker-compose" ]; then
  container=$(docker create debian-servers true)
  docker cp -L "$container:/usr/bin/docker-compose" "$LAB/docker-compose" >/dev/null
  docker rm "$container" >/dev/null
fi
cat <<EOF
DOCKER_HOST=$DOCKER_HOST
DOCKER_BUILDKIT=0
COMPOSE=$LAB/docker-compose
NODE_IMAGE=debian-node
NGINX_IMAGE=debian-nginx
REDIS_IMAGE=debian-redis
PROMETHEUS_IMAGE=debian-prometheus
EOF
