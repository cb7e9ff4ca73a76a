"""When a model is trained again and on what: strategies, schedules, triggers."""
