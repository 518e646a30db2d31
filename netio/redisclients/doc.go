// Package redisclients tries the clients that people have for Redis with a server: go-redis,
// rueidis, redis-cli and redis-benchmark. It is a module of its own, so that nobody else needs
// them; it has tests only.
package redisclients
