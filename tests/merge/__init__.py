"""Tests of merging and exporting."""
