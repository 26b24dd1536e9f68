"""Mutation score: small bugs put into the modules that guard actions, and whether the tests notice each one."""
