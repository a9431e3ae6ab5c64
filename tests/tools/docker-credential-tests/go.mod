module cloudnative.artifacts/docker-credential-tests

go 1.25.0

require github.com/docker/docker-credential-helpers v0.9.5
