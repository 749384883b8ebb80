# One file for everything that is deployed, and one build stage for all of it: docker compose --profile demo build
# One image: docker build --target vision -t knowalledge/vision .
# Targets: gateway, text-generation, vision, image-generation and emulator (for development; never put it before real users).
# NODE_IMAGE: by digest (node@sha256:…) to pin what you have scanned.
ARG NODE_IMAGE=node:24-slim
ARG APP=gateway

FROM ${NODE_IMAGE} AS build
WORKDIR /workspace
COPY pnpm-lock.yaml pnpm-workspace.yaml ./
RUN npx --yes pnpm@12 fetch --prod
COPY . .
RUN npx --yes pnpm@12 install --prod --offline --frozen-lockfile && node scripts/bundle.ts /image

# What every image has in common: Node, and nothing that installs packages.
FROM ${NODE_IMAGE} AS slim
RUN rm -rf /usr/local/lib/node_modules /usr/local/bin/np* /usr/local/bin/corepack /usr/local/bin/yarn* /opt/yarn* \
      /usr/bin/apt* /usr/lib/apt /var/lib/apt /var/cache/apt /usr/bin/dpkg*

FROM scratch AS runtime
COPY --from=slim / /
# One arena for malloc: each further one keeps some MB that it does not use. In a small container Node gives young objects little
# space, so that V8 collects them all the time: docs/adr/0073-one-bundle-per-image.md.
ENV NODE_ENV=production HOST=0.0.0.0 MALLOC_ARENA_MAX=1 NODE_OPTIONS=--max-semi-space-size=16 \
    PATH=/usr/local/bin:/usr/bin:/bin
WORKDIR /app
# By number, so that Kubernetes can see that it is not root. Nothing is written to disk: run it with --read-only.
USER 1000:1000
STOPSIGNAL SIGTERM
# By bash: a Node that is started for it takes CPU and memory of the container each time.
HEALTHCHECK --interval=10s --timeout=10s --start-period=20s --retries=3 CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/$PORT && printf 'GET %s HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n' \"$HEALTH_PATH\" >&3 && read -r _ status _ <&3 && [ \"$status\" = 200 ]"]
CMD ["node", "server.js"]

FROM runtime AS text-generation
ENV PORT=5001 HEALTH_PATH=/health
EXPOSE 5001
COPY --from=build /image/text-generation ./

FROM runtime AS vision
ENV PORT=5002 HEALTH_PATH=/health
EXPOSE 5002
COPY --from=build /image/vision ./

FROM runtime AS image-generation
ENV PORT=5003 HEALTH_PATH=/health
EXPOSE 5003
COPY --from=build /image/image-generation ./

FROM runtime AS emulator
ENV PORT=5004 HEALTH_PATH=/emulator/counters
EXPOSE 5004
COPY --from=build /image/emulator ./

FROM runtime AS gateway
ENV PORT=5000 HEALTH_PATH=/health
EXPOSE 5000
COPY --from=build /image/gateway ./

# For those who name the image by a build argument: docker build --build-arg APP=vision .
FROM ${APP}
