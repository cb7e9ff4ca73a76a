"""When a model is trained again and on what: triggers, schedules, trainees."""
