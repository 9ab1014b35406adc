"""What an example is: records and their dialects, chat rendering, loss masks, token counts."""
