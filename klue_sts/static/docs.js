// Swagger UI from this server's own files; no outside validator is asked.
SwaggerUIBundle({ url: "/openapi.json", dom_id: "#docs", deepLinking: true, validatorUrl: null });
