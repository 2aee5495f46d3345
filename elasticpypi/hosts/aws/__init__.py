"""The functions of AWS Lambda."""
