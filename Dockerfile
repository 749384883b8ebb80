# syntax=docker/dockerfile:1
# One file for everything that is deployed: docker build --build-arg APP=vision -t knowalledge/vision .
# APP: gateway, text-generation, vision, image-generation or emulator (for development; never put it before real users).
# NODE_IMAGE: by digest (node@sha256:…) to pin what you have scanned.
ARG APP=gateway
ARG NODE_IMAGE=node:24-slim

FROM ${NODE_IMAGE} AS gateway
ENV DIR=gateway PORT=5000 HEALTH_PATH=/health

FROM ${NODE_IMAGE} AS text-generation
ENV DIR=services/text-generation PORT=5001 HEALTH_PATH=/health

FROM ${NODE_IMAGE} AS vision
ENV DIR=services/vision PORT=5002 HEALTH_PATH=/health

FROM ${NODE_IMAGE} AS image-generation
ENV DIR=services/image-generation PORT=5003 HEALTH_PATH=/health

FROM ${NODE_IMAGE} AS emulator
ENV DIR=packages/gemini-emulator PORT=5004 HEALTH_PATH=/emulator/counters

# Takes what this one app needs to run, and leaves the workspace as it is laid out: Node strips no types below a
# node_modules folder, so our packages must stay links to folders outside of it (docs/adr/0070, and why not `pnpm deploy`).
FROM ${APP} AS install
WORKDIR /workspace
COPY . .
RUN --mount=type=cache,target=/root/.local/share/pnpm/store \
    npx --yes pnpm@12 install --frozen-lockfile --prod --filter-prod "{./$DIR}..." \
 && npx --yes pnpm@12 --recursive --filter-prod "{./$DIR}..." --config.verify-deps-before-run=false \
      exec sh -c 'to="/image${PWD#/workspace}" && mkdir -p "$to" && cp -R -P . "$to"' \
 && mkdir /image/node_modules \
 && mv node_modules/.pnpm /image/node_modules/ \
 && ln -s "$DIR/src/server.ts" /image/server.ts

FROM ${APP}
ENV NODE_ENV=production HOST=0.0.0.0
WORKDIR /app
COPY --from=install /image ./
# By number, so that Kubernetes can see that it is not root. Nothing is written to disk: run it with --read-only.
USER 1000:1000
EXPOSE ${PORT}
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}${process.env.HEALTH_PATH}`).then((reply) => process.exit(reply.ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "server.ts"]
